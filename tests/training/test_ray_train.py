import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from PIL import Image

from rayred.config import Data, Train
from rayred.data import load_dataset
from rayred.errors import DataError, TrainingError
from rayred.machines.connect import Cluster, Scaling
from rayred.training.embedding import embed_images, embed_with_ray
from rayred.training.loop import Task, load_model, train_model
from rayred.training.on_ray import train_with_ray
from rayred.training.trained import Trained, load_trained, save_trained
from tests.conftest import descendants

pytestmark = pytest.mark.usefixtures("cluster")


def task(**changes: object) -> Task:
    plain = {"steps": 20, "batch_size": 64, "augment": {"crop": "none", "flip": False}, **changes}
    return Task.for_dataset("resnet8", load_dataset("digits"), Train.model_validate(plain), 0)


TOGETHER = task(steps=120, augment={"crop": "pad", "pad": 1, "flip": True}, checkpoint_minutes=1e-9)
"""Two workers have a checkpoint of it every ten steps, since that is how often they agree."""


def train_together(folder: Path) -> Trained:
    digits, rows = ray.put(load_dataset("digits")), ray.put(np.arange(640))
    return train_with_ray(TOGETHER, digits, rows, Scaling(workers=2), str(folder), "two-workers")


@pytest.fixture(scope="module")
def trained(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Trained:  # noqa: ARG001
    folder = tmp_path_factory.mktemp("ray")
    made = train_together(folder)
    steps = {torch.load(p, weights_only=True)["step"] for p in folder.glob("**/training.pt")}
    assert steps == {110, 120}
    return made


def test_two_workers_train_as_one_and_what_they_made_can_be_read_back(trained, tmp_path):
    digits = load_dataset("digits")
    assert trained.curve[-1].step == 120
    assert trained.test_accuracy > 0.8
    # The weights of two workers are compared in test_data_parallel.py. Here rounding decides on
    # ReLUs at their edge, so that trainings drift apart.
    alone = train_model(TOGETHER, digits, np.arange(640))
    for ours, theirs in zip(trained.curve[:2], alone.curve[:2], strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=0.01)
    save_trained(tmp_path / "reference.pt", trained)
    read = load_trained(tmp_path / "reference.pt")
    assert read.curve == trained.curve
    assert all(torch.equal(read.weights[name], value) for name, value in trained.weights.items())

    model = load_model(task().spec, read.weights)
    whole = embed_images(model, digits.train, torch.device("cpu"))
    assert whole.shape == (1297, 64)
    assert whole.dtype == np.float32
    ranges = [(0, 512), (512, 1000), (1000, 1297)]
    found = dict(
        embed_with_ray(task().spec, read.weights, ray.put(digits), ranges, Scaling(workers=2))
    )
    assert set(found) == set(ranges)
    sharded = np.concatenate([found[part] for part in ranges])
    np.testing.assert_allclose(sharded, whole, rtol=1e-4, atol=1e-5)


def test_a_killed_worker_of_two_costs_nothing_but_time(trained, tmp_path):
    with ThreadPoolExecutor(1) as thread:
        killed = thread.submit(train_together, tmp_path)
        while not list(tmp_path.glob("**/training.pt")):
            assert not killed.done(), killed.result()
            time.sleep(0.02)
        workers = [
            pid
            for pid in descendants(os.getpid())
            if "RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        rest = killed.result()
    assert rest.curve == trained.curve
    for name, value in trained.weights.items():
        assert torch.equal(rest.weights[name], value)


def test_a_loss_that_is_not_finite_is_told_and_not_tried_again(tmp_path):
    with pytest.raises(TrainingError, match=r"the loss is nan after step"):
        train_with_ray(
            task(lr=1e30, warmup_steps=0),
            ray.put(load_dataset("digits")),
            ray.put(np.arange(640)),
            Scaling(),
            str(tmp_path),
            "diverges",
        )


def test_an_image_that_one_worker_cannot_read_ends_the_training_of_all(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 8, 8, 3), dtype=np.uint8)
    for split in ("train", "test"):
        for name, images in zip(("cat", "dog"), pixels, strict=True):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for number, image in enumerate(images):
                Image.fromarray(image).save(folder / f"{number}.png")
    pets = load_dataset(f"folder:{tmp_path}", Data(image_size=8, load="stream"))
    recipe = Train.model_validate({"steps": 200, "batch_size": 8})
    job = Task.for_dataset("resnet8", pets, recipe, 0), ray.put(pets), ray.put(np.arange(48))
    (tmp_path / "train" / "dog" / "3.png").write_bytes(b"no image any more")
    started = time.monotonic()
    with pytest.raises(DataError, match=r"dog/3\.png: cannot decode"):
        train_with_ray(*job, Scaling(workers=2), str(tmp_path / "ray"), "pets")
    assert time.monotonic() - started < 60, "it was tried again, or waited for"

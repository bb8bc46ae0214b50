"""Ray Train and Ray tasks, with faults in the processes of their workers."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from PIL import Image

from rayred.config import Data, Train
from rayred.data import Dataset, EncodedImages, load_dataset
from rayred.errors import DataError
from rayred.machines.connect import Cluster
from rayred.machines.layout import Scaling
from rayred.models import build_model
from rayred.training import Checkpoints, Task, Trained, embed_images, train_model
from rayred.training import on_ray as training_on_ray
from rayred.training.on_ray import embed_with_ray, resolve_precision, train_with_ray
from tests.training.examples import task

pytestmark = pytest.mark.usefixtures("cluster")
IMAGES = 48
RECIPE = Train.model_validate({"steps": 20, "batch_size": IMAGES, "checkpoint_steps": 7})
"""An epoch is one step."""


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data set whose images are decoded when they are needed."""
    folder = tmp_path_factory.mktemp("pets")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 2, IMAGES // 2, 8, 8, 3), np.uint8)
    for split, of_split in zip(("train", "test"), pixels, strict=True):
        for name, images in zip(("cat", "dog"), of_split, strict=True):
            (folder / split / name).mkdir(parents=True)
            for number, image in enumerate(images):
                Image.fromarray(image).save(folder / split / name / f"{number}.png")
    return load_dataset(f"folder:{folder}", Data(image_size=8, load="stream"))


def job(pets: Dataset) -> Task:
    return Task.for_dataset("resnet8", pets, RECIPE, 0)


def train_two(pets: Dataset, folder: Path) -> Trained:
    """Train with two workers."""
    rows, scaling = ray.put(np.arange(IMAGES)), Scaling(workers=2)
    return train_with_ray(job(pets), ray.put(pets), rows, scaling, str(folder), "pets")


def with_fault(pets: Dataset, folder: Path, fault: Callable[[], None]) -> Dataset:
    """Return a data set with a fault in one of two workers, once, after the first checkpoint."""

    class Faulty(EncodedImages):
        def crop(self, *arguments):
            if (folder / "pets" / "training.pt").exists():
                with suppress(FileExistsError):
                    (folder / "fault").touch(exist_ok=False)
                    fault()
            return super().crop(*arguments)

    assert isinstance(pets.train.images, EncodedImages)
    return replace(pets, train=replace(pets.train, images=Faulty(**vars(pets.train.images))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of `trained`."""
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def trained(cluster: Cluster, pets: Dataset, folder: Path) -> Trained:  # noqa: ARG001
    """Return the training of two workers, one of which is killed after the first checkpoint."""

    def dies() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    return train_two(with_fault(pets, folder, dies), folder)


def test_training_that_loses_a_worker_is_restarted_from_its_checkpoint(trained, folder):
    assert (folder / "fault").exists()
    assert [point.step for point in trained.curve] == list(range(1, 21))
    assert trained.test_accuracy == trained.curve[-1].test_accuracy
    checkpoint = Checkpoints(str(folder), "pets").load()
    assert checkpoint is not None
    assert checkpoint["step"] == 14


def test_two_workers_have_the_losses_of_one(trained, pets):
    alone = train_model(job(pets), pets, np.arange(IMAGES))
    # The second step still has the initial weights, as the warm-up begins at a rate of zero.
    for ours, theirs in zip(trained.curve[:2], alone.curve[:2], strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-4)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_later_training_of_the_same_name_goes_on_to_the_same_bits(trained, pets, folder):
    checkpoints = Checkpoints(str(folder), "pets")
    state = checkpoints.load()
    assert state is not None
    state["pack"][0]["curve"][0]["train_loss"] = 123.0  # to be seen that it was loaded
    checkpoints.save(state)
    with redirect_stderr(Terminal()) as terminal:
        later = train_two(pets, folder)
    assert "step 15 of 20" in terminal.getvalue()
    assert later.curve[0].train_loss == 123.0
    assert later.curve[1:] == trained.curve[1:]
    for name, value in trained.weights.items():
        assert torch.equal(later.weights[name], value)


def test_error_on_one_of_two_workers_ends_the_training(pets, tmp_path):
    def breaks() -> None:
        raise DataError("3.png: cannot decode the image")

    # Restarted until Ray Train gives up, it would end with a RayredError.
    with pytest.raises(DataError, match=r"3\.png: cannot decode"):
        train_two(with_fault(pets, tmp_path, breaks), tmp_path)


def test_embeddings_of_ranges_are_those_of_the_whole():
    digits = load_dataset("digits")
    model = build_model(task().spec)
    whole = embed_images(model, digits.train, torch.device("cpu"))
    assert whole.shape == (1297, 64)
    assert whole.dtype == np.float32
    ranges = [(0, 512), (512, 1000), (1000, 1297)]
    reference, state = ray.put(digits), model.state_dict()
    found = dict(embed_with_ray(task().spec, state, reference, ranges, Scaling(workers=2)))
    assert set(found) == set(ranges)
    parts = np.concatenate([found[part] for part in ranges])
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


def test_precision_without_gpus():
    assert resolve_precision("auto", gpu=False) == "float32"
    assert resolve_precision("bfloat16", gpu=False) == "bfloat16"


def test_without_a_terminal_there_is_no_live_line():
    with redirect_stderr(io.StringIO()), training_on_ray._live_line(RECIPE) as queue:
        assert queue is None

"""Ray Train and Ray tasks, with faults in the processes of their workers."""

from __future__ import annotations

import io
import os
import re
import signal
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from PIL import Image

from rayred.config import Data, Sweep, Train
from rayred.data import Dataset, EncodedImages, load_dataset
from rayred.errors import DataError, RayredError
from rayred.machines.connect import Cluster
from rayred.machines.layout import Layout, Scaling
from rayred.machines.tune import Runner
from rayred.models import build_model
from rayred.sweep.on_ray import PackTraining, run_sweep
from rayred.sweep.plan import plan_trials
from rayred.training import Checkpoints, State, Task, embed_images, load_model, train_model
from rayred.training import on_ray as training_on_ray
from rayred.training.on_ray import embed_with_ray, resolve_precision, train_with_ray
from tests.training.examples import task

pytestmark = pytest.mark.usefixtures("cluster")
IMAGES = 48
RECIPE = Train.model_validate({"steps": 60, "batch_size": IMAGES, "checkpoint_steps": 7})
"""An epoch is one step. Steps go on while a checkpoint is written: there are enough of both."""
(TRIAL,) = plan_trials(Sweep(fractions=[1.0], trials=1), 0)
NAME = f"trial-{TRIAL.name}-1-key"
"""Name of the trial's training: a training of that name goes on from where another got to."""


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


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ray")


def job(pets: Dataset) -> Task:
    return Task.for_dataset("resnet8", pets, RECIPE, TRIAL.seed)


def with_faults(pets: Dataset, storage: Path) -> Dataset:
    """Return a data set that kills one of two workers once, and later fails on one of them.

    The first fault comes after the second checkpoint, the second one after the third. The first
    checkpoint is kept, as `first.pt`.
    """
    newest, first = storage / NAME / "training.pt", storage / "first.pt"
    killed, failed = storage / "killed", storage / "failed"

    class Faulty(EncodedImages):
        def crop(self, *arguments):
            if newest.exists():
                with suppress(FileExistsError):
                    first.hardlink_to(newest)
                if not newest.samefile(first):
                    with suppress(FileExistsError):
                        killed.touch(exist_ok=False)
                        os.kill(os.getpid(), signal.SIGKILL)
                    if newest.stat().st_mtime_ns > killed.stat().st_mtime_ns:
                        with suppress(FileExistsError):
                            failed.touch(exist_ok=False)
                            raise DataError("3.png: cannot decode the image")
            return super().crop(*arguments)

    assert isinstance(pets.train.images, EncodedImages)
    return replace(pets, train=replace(pets.train, images=Faulty(**vars(pets.train.images))))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Faults:
    """A training of two workers, one of which is killed, and which an error ends later."""

    error: BaseException
    shown: str
    """What a terminal has shown."""
    state: State
    """The last checkpoint."""

    @property
    def curve(self) -> list[dict[str, Any]]:
        return self.state["pack"][0]["curve"]


@pytest.fixture(scope="module")
def faults(cluster: Cluster, pets: Dataset, storage: Path) -> Faults:  # noqa: ARG001
    rows, faulty = ray.put(np.arange(IMAGES)), ray.put(with_faults(pets, storage))
    with redirect_stderr(Terminal()) as terminal, pytest.raises(RayredError) as raised:
        train_with_ray(job(pets), faulty, rows, Scaling(workers=2), str(storage), NAME)
    state = Checkpoints(str(storage), NAME).load()
    assert state is not None
    return Faults(raised.value, terminal.getvalue(), state)


def test_training_that_loses_a_worker_is_restarted_from_its_checkpoint(faults, storage):
    assert (storage / "killed").exists()
    assert re.search(r"step \d+ of 60", faults.shown)
    assert faults.state["step"] >= 21  # of the third checkpoint
    assert [point["step"] for point in faults.curve] == list(range(1, faults.state["step"] + 1))


def test_error_on_one_of_two_workers_ends_the_training(faults):
    """Restarted, it would go on to its end."""
    assert isinstance(faults.error, DataError)
    assert str(faults.error) == "3.png: cannot decode the image"


def test_two_workers_have_the_losses_of_one(faults, pets):
    alone = train_model(job(pets), pets, np.arange(IMAGES))
    # The second step still has the initial weights, as the warm-up begins at a rate of zero.
    for ours, theirs in zip(faults.curve[:2], alone.curve[:2], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs.train_loss, rel=1e-4)


def test_trial_of_two_workers_goes_on_from_a_checkpoint_to_the_same_bits(faults, pets, storage):
    """Ray Tune runs Ray Train, from the first checkpoint of what went on from the second one."""
    checkpoints = Checkpoints(str(storage), NAME)
    (storage / "first.pt").replace(checkpoints.path)
    state = checkpoints.load()
    assert state is not None
    assert state["step"] < faults.state["step"]
    state["pack"][0]["curve"][0]["train_loss"] = 123.0  # to be seen that it was loaded
    checkpoints.save(state)
    checkpoints.finish()

    one, two = Scaling(), Scaling(workers=2)
    layout = Layout(one, one, one, two, 1, 1, 1, str(storage))
    rows = {TRIAL.subset: ray.put(np.arange(IMAGES))}
    train = PackTraining(job(pets), ray.put(pets), rows, {TRIAL.name: "key"}, layout)
    (result,) = run_sweep([TRIAL], 1, train, Runner("sweep", layout))
    assert result.status == "finished"
    assert [point["step"] for point in result.curve] == list(range(1, RECIPE.steps + 1))
    assert result.test_accuracy == result.curve[-1]["test_accuracy"]
    correct = result.correct_images(IMAGES)
    assert correct is not None
    assert correct.mean() == result.test_accuracy
    assert result.curve[0]["train_loss"] == 123.0
    assert list(result.curve[1 : faults.state["step"]]) == faults.curve[1:]


def test_training_that_lacks_a_worker_goes_on_with_those_there_are(
    cluster, faults, pets, storage, caplog
):
    """From a checkpoint of two workers, where there is room for one."""
    caplog.set_level("INFO", "rayred")
    checkpoints = Checkpoints(str(storage), "fewer")
    checkpoints.save(faults.state)
    checkpoints.finish()
    scaling = Scaling(workers=2, cpus=cluster.cpus, min_workers=1)
    data = ray.put(pets), ray.put(np.arange(IMAGES))
    with redirect_stderr(Terminal()) as terminal:
        fewer = train_with_ray(job(pets), *data, scaling, str(storage), "fewer")
    alone = train_model(job(pets), pets, np.arange(IMAGES), resume=faults.state)
    done = faults.state["step"]
    assert fewer.curve[:done] == alone.curve[:done]
    # From here on two processes may round differently, which grows with the steps.
    assert fewer.curve[done].train_loss == pytest.approx(alone.curve[done].train_loss, rel=1e-4)
    assert [point.step for point in fewer.curve] == list(range(1, RECIPE.steps + 1))
    assert "1 of 2 workers" in terminal.getvalue()


def test_embeddings_are_made_by_as_many_tasks_as_the_cluster_has_room_for(monkeypatch):
    """Machines join while they are made."""
    room = iter([1, 1, 3, 3, 3, 3, 3, 3])
    monkeypatch.setattr(training_on_ray, "_room", lambda _: next(room))
    monkeypatch.setattr(training_on_ray, "LOOK_SECONDS", 0)
    at_a_time, wait = [], ray.wait

    def counted(refs, **_):
        at_a_time.append(len(refs))
        return wait(refs)  # until the first has ended

    monkeypatch.setattr(ray, "wait", counted)
    digits = load_dataset("digits")
    model, ranges = build_model(task().spec), [(n, n + 8) for n in range(0, 48, 8)]
    load = partial(load_model, task().spec)
    arguments = (load, model.state_dict(), digits.train, ranges, Scaling())
    assert {part for part, _ in embed_with_ray(*arguments)} == set(ranges)
    assert at_a_time == [2, 4, 4, 3, 2, 1]


def test_embeddings_of_ranges_are_those_of_the_whole():
    digits = load_dataset("digits")
    model = build_model(task().spec)
    whole = embed_images(model, digits.train, torch.device("cpu"))
    assert whole.shape == (1297, 64)
    assert whole.dtype == np.float32
    ranges = [(0, 512), (512, 1000), (1000, 1297)]
    load = partial(load_model, task().spec)
    found = dict(embed_with_ray(load, model.state_dict(), digits.train, ranges, Scaling()))
    assert set(found) == set(ranges)
    parts = np.concatenate([found[part] for part in ranges])
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


def test_precision_without_gpus():
    assert resolve_precision("auto", gpu=False) == "float32"
    assert resolve_precision("bfloat16", gpu=False) == "bfloat16"


def test_there_is_no_live_line_within_a_trial():
    @ray.remote(num_cpus=0)
    class Trial:
        def has_line(self) -> bool:
            with training_on_ray._live_line(RECIPE, 2) as live:
                return live is not None

    assert not ray.get(Trial.remote().has_line.remote())

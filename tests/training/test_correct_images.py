"""Which test images a network classifies correctly, in their order, however it is trained.

In float64: no class is decided by rounding.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from numpy.typing import NDArray

from rayred.data import Dataset, Split, load_dataset
from rayred.models import Classifier, build_model
from rayred.training import Outcome, Worker, correct_images, evaluate, train_model, train_pack
from rayred.training.worker import Shard
from tests.training.examples import large_digits, task

pytestmark = pytest.mark.usefixtures("float64")
N_TEST = 301
"""More than a batch for each of two workers, which have shares of different sizes."""


def dataset() -> Dataset:
    return large_digits(N_TEST)


def untrained() -> Classifier:
    torch.manual_seed(0)
    return build_model(task().spec)


def one_by_one(model: Classifier, split: Split, mirrored: bool = False) -> NDArray[np.bool_]:
    """Classify each image by itself."""
    model.eval()
    found = []
    for image, label in zip(split.images, split.labels, strict=True):
        x = torch.from_numpy(image)[None].permute(0, 3, 1, 2)
        with torch.inference_mode():
            logits = model(x) + model(x.flip(3)) if mirrored else model(x)
        two = logits.topk(2).values[0]
        assert two[0] - two[1] > 1e-9
        found.append(int(logits.argmax()) == label)
    return np.array(found)


@pytest.mark.parametrize("mirrored", [False, True])
def test_images_are_in_the_order_of_the_split(mirrored):
    test = dataset().test
    found = correct_images(untrained(), test, mirrored=mirrored)
    assert (found.dtype, found.shape) == (np.bool_, (N_TEST,))
    assert 0 < found.sum() < N_TEST
    np.testing.assert_array_equal(found, one_by_one(untrained(), test, mirrored))
    assert evaluate(untrained(), test, mirrored=mirrored) == found.mean()


def test_share_has_the_bits_of_the_count_divided_by_all():
    for n in range(1, 130):
        for count in range(n + 1):
            found = np.arange(n) < count
            assert float(found.mean()) == Worker().mean(torch.tensor(count).double(), n)


@pytest.mark.parametrize("changes", [{}, {"test_mirrored": True}, {"evaluate_every": 1}])
def test_training_has_the_images_that_its_network_classifies_correctly(changes):
    outcome = train_model(task(**changes), dataset(), np.arange(128))
    expected = one_by_one(outcome.model, dataset().test, "test_mirrored" in changes)
    np.testing.assert_array_equal(outcome.correct, expected)
    assert outcome.correct.mean() == outcome.test_accuracy


def test_each_network_of_a_pack_has_its_own_images():
    tasks = [task(seed, batch_size=32, checkpoint_steps=4) for seed in (3, 5, 8)]
    rows, states = [np.arange(100)] * 3, {}

    def save(state):
        states[state["step"]] = state

    outcomes = train_pack(tasks, dataset(), rows, save=save)
    resumed = train_pack(tasks, dataset(), rows, resume=states[8])
    for outcome, again in zip(outcomes, resumed, strict=True):
        assert isinstance(outcome, Outcome)
        assert isinstance(again, Outcome)
        expected = one_by_one(outcome.model, dataset().test)
        np.testing.assert_array_equal(outcome.correct, expected)
        np.testing.assert_array_equal(again.correct, expected)
        assert outcome.correct.mean() == outcome.test_accuracy
    assert len({outcome.correct.tobytes() for outcome in outcomes}) == 3


@pytest.mark.parametrize("step", [4, 8])
def test_resumed_training_has_them_also_at_its_end(step, tmp_path):
    job, states = task(checkpoint_steps=4, evaluate_every=1), {}

    def save(state):
        torch.save(state, tmp_path / "state.pt")
        states[state["step"]] = torch.load(tmp_path / "state.pt", weights_only=True)

    whole = train_model(job, dataset(), np.arange(128), save=save)
    rest = train_model(job, dataset(), np.arange(128), resume=states[step])
    assert rest.curve == whole.curve
    np.testing.assert_array_equal(rest.correct, whole.correct)


def train_half(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", timedelta(seconds=60), world_size=2, rank=rank
    )
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    worker = Worker(shard=Shard(rank, 2))
    digits = dataset()
    found = {
        "plain": correct_images(untrained(), digits.test, worker),
        "mirrored": correct_images(untrained(), digits.test, worker, mirrored=True),
        "one image": correct_images(untrained(), digits.test.part(0, 1), worker),
        "share": evaluate(untrained(), digits.test, worker),
    }
    outcome = train_model(task(test_mirrored=True), digits, np.arange(128), worker=worker)
    found |= {"trained": outcome.correct, "accuracy": outcome.test_accuracy}
    found["again"] = correct_images(outcome.model, digits.test, mirrored=True)
    np.savez(f"{folder}/{rank}.npz", **found)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("halves")
    torch.multiprocessing.spawn(train_half, (str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("rank", [0, 1])
def test_each_of_two_workers_has_the_images_of_both(halves, rank):
    found, test = np.load(halves / f"{rank}.npz"), dataset().test
    np.testing.assert_array_equal(found["plain"], one_by_one(untrained(), test))
    np.testing.assert_array_equal(found["mirrored"], one_by_one(untrained(), test, mirrored=True))
    np.testing.assert_array_equal(found["one image"], found["plain"][:1])
    assert found["share"] == found["plain"].mean()
    np.testing.assert_array_equal(found["trained"], found["again"])
    assert found["trained"].mean() == found["accuracy"]


def test_images_that_are_decoded_when_needed_are_in_order_too(tmp_path):
    from PIL import Image

    from rayred.config import Data

    digits = load_dataset("digits").test
    for number, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        for split in ("train", "test"):
            place = tmp_path / split / str(label)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[:, :, 0]).save(place / f"{number:03}.png")
    streamed = load_dataset(f"folder:{tmp_path}", Data(image_size=8, load="stream")).test
    alone = [int(Path(name).stem) for name in streamed.names]
    found, expected = correct_images(untrained(), streamed), one_by_one(untrained(), digits)
    np.testing.assert_array_equal(found, expected[alone])

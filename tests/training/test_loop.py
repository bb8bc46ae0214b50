import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rayred.config import Train
from rayred.data import load_dataset
from rayred.errors import TrainingError
from rayred.training.batches import Shard
from rayred.training.loop import (
    Task,
    Worker,
    _CheckpointClock,
    evaluate,
    load_model,
    train_model,
)

PLAIN = {"crop": "pad", "pad": 1, "flip": False}


def task(seed: int = 0, **changes: object) -> Task:
    settings = {"steps": 40, "batch_size": 64, "augment": PLAIN, **changes}
    recipe = Train.model_validate(settings)
    return Task.for_dataset("resnet8", load_dataset("digits"), recipe, seed)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def test_same_seed_gives_the_same_weights_and_another_seed_others():
    digits, subset = load_dataset("digits"), np.arange(0, 1297, 3)
    first = train_model(task(steps=10), digits, subset)
    again = train_model(task(steps=10), digits, subset)
    other = train_model(task(seed=1, steps=10), digits, subset)
    assert torch.equal(weights(first.model), weights(again.model))
    assert first.test_accuracy == again.test_accuracy
    assert not torch.equal(weights(first.model), weights(other.model))


@pytest.mark.parametrize(
    ("model", "changes"),
    [("resnet8", {}), ("fastnet-small", {"optimizer": "muon", "lr": 0.1, "warmup_steps": 0})],
)
def test_a_training_that_goes_on_from_a_checkpoint_ends_as_an_uninterrupted_one(model, changes):
    digits, subset = larger_digits(), np.arange(0, 1297, 3)
    recipe = Train.model_validate(
        {"steps": 14, "batch_size": 64, "augment": PLAIN, "checkpoint_steps": 5, **changes}
    )
    job = Task.for_dataset(model, digits, recipe, 0)
    snapshots = {}

    def save(state):
        snapshots[state["step"]] = torch_copy(state)

    whole = train_model(job, digits, subset, save=save)
    assert sorted(snapshots) == [5, 10]
    assert snapshots[10]["summed"] == 3  # an epoch ends after the seventh step, not the tenth
    rest = train_model(job, digits, subset, resume=snapshots[10])
    assert torch.equal(weights(whole.model), weights(rest.model))
    assert whole.curve == rest.curve


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"checkpoint_minutes": 3 / 60}, [3, 6]),
        ({"checkpoint_minutes": 3 / 60, "checkpoint_steps": 4}, [3, 4, 7, 8]),
    ],
)
def test_checkpoints_are_due_by_the_clock_and_by_steps(monkeypatch, changes, expected):
    seconds = 0  # a step takes one

    def tick(step):
        nonlocal seconds
        seconds = step

    clock = SimpleNamespace(monotonic=lambda: seconds, perf_counter=time.perf_counter)
    monkeypatch.setattr("rayred.training.loop.time", clock)
    saved = []

    def save(state):
        saved.append(state["step"])

    train_model(
        task(steps=8, **changes), load_dataset("digits"), np.arange(640), save=save, tick=tick
    )
    assert saved == expected


def test_workers_take_a_checkpoint_together_when_one_of_them_finds_it_due():
    class OneOfTwo(Worker):
        def mean(self, total, count):
            assert count == 1
            return (float(total) + 1) / 2  # the other worker's clock says yes

    recipe = task(checkpoint_minutes=60).recipe
    due = _CheckpointClock(recipe, OneOfTwo(shard=Shard(0, 2)))
    assert [step for step in range(1, 31) if due(step)] == [10, 20, 30]


def larger_digits():
    """Return digits of 16 × 16 pixels."""
    digits = load_dataset("digits")
    train, test = (
        replace(split, images=split.images.repeat(2, axis=1).repeat(2, axis=2))
        for split in (digits.train, digits.test)
    )
    return replace(digits, train=train, test=test)


def test_the_fast_network_learns_with_muon():
    digits = larger_digits()
    recipe = Train.model_validate(
        {
            "steps": 40,
            "batch_size": 128,
            "optimizer": "muon",
            "lr": 0.24,
            "warmup_steps": 0,
            "weight_decay": 2e-6 * 128,
            "augment": {"crop": "none", "flip": False},
        }
    )
    job = Task.for_dataset("fastnet-small", digits, recipe, 0)
    first = job.spec.whitening
    outcome = train_model(job, digits, np.arange(len(digits.train)))
    assert outcome.test_accuracy > 0.95
    frozen = outcome.model.network.whiten.weight
    assert torch.equal(frozen[: len(first)].flatten(1), torch.tensor(first))


def test_mirrored_test_takes_the_mean_of_both_logits():
    digits = load_dataset("digits")
    model = train_model(task(steps=10), digits, np.arange(640)).model.eval()
    x = torch.from_numpy(digits.test.images).permute(0, 3, 1, 2)
    with torch.inference_mode():
        logits = (model(x) + model(x.flip(3))).argmax(1).numpy()
    expected = float((logits == digits.test.labels).mean())
    assert evaluate(model, digits.test, mirrored=True) == pytest.approx(expected)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_every_precision_trains_float32_weights_and_leaves_torch_as_it_was(precision):
    convolutions = torch.backends.cudnn.conv
    before = convolutions.fp32_precision, torch.are_deterministic_algorithms_enabled()
    exact = task(steps=20, precision=precision, deterministic=True)
    outcome = train_model(exact, load_dataset("digits"), np.arange(1297))
    assert all(p.dtype == torch.float32 for p in outcome.model.parameters())
    assert outcome.test_accuracy > 0.5
    assert before == (convolutions.fp32_precision, torch.are_deterministic_algorithms_enabled())


def torch_copy(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_curve_has_a_point_an_epoch_and_ends_with_the_test_accuracy():
    digits = load_dataset("digits")
    outcome = train_model(task(), digits, np.arange(640))
    assert [point.step for point in outcome.curve] == [10, 20, 30, 40]
    assert [point.epoch for point in outcome.curve] == [1, 2, 3, 4]
    assert [point.test_accuracy is None for point in outcome.curve] == [True, True, True, False]
    assert outcome.curve[-1].test_accuracy == evaluate(outcome.model, digits.test)


def test_test_accuracy_is_followed_where_asked_for():
    outcome = train_model(task(evaluate_every=2), load_dataset("digits"), np.arange(640))
    assert [point.test_accuracy is None for point in outcome.curve] == [True, False, True, False]


def test_a_loss_that_is_not_finite_ends_the_training_with_its_reason():
    broken = task(lr=1e30, warmup_steps=0)
    with pytest.raises(
        TrainingError, match=r"the loss is nan after step \d+ of 40; lower train.lr"
    ):
        train_model(broken, load_dataset("digits"), np.arange(640))


def test_a_subset_smaller_than_a_batch_trains():
    outcome = train_model(task(steps=3), load_dataset("digits"), np.arange(5))
    assert outcome.curve[-1].epoch == pytest.approx(3 * 64 / 5)


def test_loaded_weights_make_the_same_model():
    digits = load_dataset("digits")
    trained = train_model(task(steps=5), digits, np.arange(640)).model
    loaded = load_model(task().spec, trained.state_dict())
    assert evaluate(loaded, digits.test) == evaluate(trained, digits.test)


def test_steps_are_fixed_whatever_the_size():
    digits = load_dataset("digits")
    sizes = [len(digits.train), 100]
    steps = [train_model(task(steps=6), digits, np.arange(n)).curve[-1].step for n in sizes]
    assert steps == [6, 6]


def test_task_is_a_value():
    assert replace(task(), seed=3) == task(seed=3)

"""A pack of trainings against the same trainings one by one."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from rayred.config import Train
from rayred.data import Dataset, load_dataset
from rayred.errors import TrainingError
from rayred.training import loop
from rayred.training.loop import State, Task, train_model, train_pack

SEEDS = (3, 5, 8)


def larger_digits() -> Dataset:
    """Return digits of 16 × 16 pixels, and few to test on."""
    digits = load_dataset("digits")
    train, test = (
        replace(
            split,
            images=split.images[:n].repeat(2, axis=1).repeat(2, axis=2),
            labels=split.labels[:n],
        )
        for split, n in ((digits.train, None), (digits.test, 64))
    )
    return replace(digits, train=train, test=test)


def pack(dataset: Dataset, model: str = "resnet8", **changes: object) -> list[Task]:
    settings = {"steps": 8, "batch_size": 32, "augment": {"pad": 1}, **changes}
    recipe = Train.model_validate(settings)
    first = Task.for_dataset(model, dataset, recipe, 0)
    return [replace(first, seed=seed) for seed in SEEDS]


def subsets() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.sort(rng.choice(1297, 100, replace=False)) for _ in SEEDS]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("resnet8", {"evaluate_every": 1}),
        ("resnet18", {"steps": 2, "batch_size": 16, "warmup_steps": 0}),
        ("fastnet-small", {"optimizer": "muon", "lr": 0.1, "warmup_steps": 0}),
    ],
)
def test_a_pack_is_the_same_as_separate_trainings(model, changes):
    digits = larger_digits()
    tasks, rows = pack(digits, model, **changes), subsets()
    packed = train_pack(tasks, digits, rows)
    for task, indices, outcome in zip(tasks, rows, packed, strict=True):
        alone = train_model(task, digits, indices)
        assert isinstance(outcome, loop.Outcome)
        state = outcome.model.state_dict()
        # Muon computes in bfloat16, where one rounding more or less is seen.
        tolerance = 2e-2 if model == "fastnet-small" else 1e-8
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=tolerance, atol=tolerance)
        assert outcome.test_accuracy == pytest.approx(alone.test_accuracy, abs=2 / 64)
        losses = [point.train_loss for point in alone.curve]
        assert [point.train_loss for point in outcome.curve] == pytest.approx(losses, rel=tolerance)


def test_a_pack_goes_on_from_a_checkpoint_to_the_same_end():
    digits = load_dataset("digits")
    tasks, rows = pack(digits, checkpoint_steps=3), subsets()
    saved = {}

    def save(state: State) -> None:
        saved[state["step"]] = deepcopy(state)

    whole = train_pack(tasks, digits, rows, save=save)
    assert sorted(saved) == [3, 6]
    rest = train_pack(tasks, digits, rows, resume=saved[6])
    assert [one.curve for one in rest] == [one.curve for one in whole]


def test_one_training_that_diverges_does_not_touch_the_others(monkeypatch):
    digits = load_dataset("digits")
    tasks, rows = pack(digits), subsets()
    whole = train_pack(tasks, digits, rows)
    original = loop.build_model

    def poisoned(spec):
        model = original(spec)
        if torch.initial_seed() == SEEDS[1]:
            model.network.classify.bias.data[0] = torch.nan
        return model

    monkeypatch.setattr(loop, "build_model", poisoned)
    first, failed, last = train_pack(tasks, digits, rows)
    assert isinstance(failed, TrainingError)
    assert "the loss is nan after step" in str(failed)
    assert (first.curve, last.curve) == (whole[0].curve, whole[2].curve)


def test_trainings_of_different_sizes_are_no_pack():
    digits = load_dataset("digits")
    rows = subsets()
    with pytest.raises(ValueError, match="differ in their recipe, network or size"):
        train_pack(pack(digits), digits, [rows[0], rows[1], rows[2][:50]])

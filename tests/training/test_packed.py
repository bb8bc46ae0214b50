"""A pack of trainings against the same trainings one by one."""

from copy import deepcopy

import numpy as np
import pytest
import torch

from rayred.data import load_dataset
from rayred.errors import TrainingError
from rayred.training import Outcome, State, Task, train_model, train_pack
from tests.training.examples import MUON, large_digits, task

SEEDS = (3, 5, 8)


def pack(model: str = "resnet8", **changes: object) -> list[Task]:
    return [task(seed, model, **{"batch_size": 32, **changes}) for seed in SEEDS]


def subsets() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.sort(rng.choice(1297, 100, replace=False)) for _ in SEEDS]


def states_of(tasks: list[Task]) -> tuple[list[Outcome | TrainingError], dict[int, State]]:
    """Return the outcomes of a pack and its checkpoints, by step."""
    states = {}

    def save(state: State) -> None:
        states[state["step"]] = deepcopy(state)

    return train_pack(tasks, load_dataset("digits"), subsets(), save=save), states


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("resnet8", {"evaluate_every": 1}),
        pytest.param(
            "resnet18",
            {"steps": 1, "batch_size": 4, "warmup_steps": 0},
            marks=pytest.mark.slow,
        ),
        ("fastnet-small", MUON),
    ],
)
def test_pack_has_the_results_of_separate_trainings(model, changes):
    dataset = large_digits(64)
    tasks, rows = pack(model, **{"steps": 5, **changes}), subsets()
    packed = train_pack(tasks, dataset, rows)
    for one, indices, outcome in zip(tasks, rows, packed, strict=True):
        alone = train_model(one, dataset, indices)
        assert isinstance(outcome, Outcome)
        state = outcome.model.state_dict()
        # Muon rounds to bfloat16 within a step, so that a last bit may be seen.
        tolerance = 2e-2 if model == "fastnet-small" else 1e-8
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=tolerance, atol=tolerance)
        losses = [point.train_loss for point in alone.curve]
        assert [point.train_loss for point in outcome.curve] == pytest.approx(losses, rel=tolerance)


def test_resumed_pack_has_the_bits_of_an_uninterrupted_one():
    tasks = pack(checkpoint_steps=3)
    whole, states = states_of(tasks)
    assert sorted(states) == [3, 6]
    rest = train_pack(tasks, load_dataset("digits"), subsets(), resume=states[6])
    assert [one.curve for one in rest] == [one.curve for one in whole]


def test_network_that_diverges_leaves_the_others_of_its_pack_alone():
    tasks = pack(checkpoint_steps=3)
    whole, states = states_of(tasks)
    states[3]["pack"][1]["model"]["network.classify.bias"][0] = torch.nan
    first, failed, last = train_pack(tasks, load_dataset("digits"), subsets(), resume=states[3])
    assert isinstance(failed, TrainingError)
    assert "the loss is nan after step 4" in str(failed)
    assert (first.curve, last.curve) == (whole[0].curve, whole[2].curve)


def test_pack_whose_networks_all_diverge_ends_early():
    digits, steps = load_dataset("digits"), []
    tasks = pack(lr=1e30, warmup_steps=0, steps=40)
    outcomes = train_pack(tasks, digits, subsets(), tick=steps.append)
    assert all(isinstance(outcome, TrainingError) for outcome in outcomes)
    assert steps[-1] < 40


def test_trainings_of_different_sizes_are_no_pack():
    rows = subsets()
    with pytest.raises(ValueError, match="differ in their recipe, network or size"):
        train_pack(pack(), load_dataset("digits"), [rows[0], rows[1], rows[2][:50]])


def test_trainings_of_different_recipes_are_no_pack():
    tasks = [*pack()[:2], task(8, batch_size=16)]
    with pytest.raises(ValueError, match="differ in their recipe, network or size"):
        train_pack(tasks, load_dataset("digits"), subsets())

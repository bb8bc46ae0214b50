"""A training that goes on with more or fewer workers than before, in float64."""

from __future__ import annotations

import gc
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing

from rayred.data import load_dataset
from rayred.training import State, Task, train_model
from rayred.training.trained import Trained
from rayred.training.worker import Shard, Worker
from tests.training.examples import task

WORKERS = 3
"""By which a batch cannot be divided."""
STEPS, CHANGE = 12, 5
"""Steps, and the one after which the number of workers changes: within an epoch."""
ROWS = np.arange(0, 1297, 6)
TOLERANCE = 1e-6
"""The loss, and only that, is computed in float32."""
COUNTER = "num_batches_tracked"
"""Batch norms' counters, which nothing reads and no synchronised batch norm has."""


def job() -> Task:
    settings = {"batch_size": 32, "evaluate_every": 1, "checkpoint_steps": CHANGE}
    return replace(task(steps=STEPS, **settings), follow=True)


def trained(worker: Worker, resume: State | None = None) -> tuple[Trained, State]:
    """The training from its begin or a state, and its state after `CHANGE` steps or more."""
    states: list[State] = []

    def save(state: State) -> None:
        states.append(deepcopy(state))

    outcome = train_model(
        job(), load_dataset("digits"), ROWS, worker=worker, save=save, resume=resume
    )
    return Trained.of(job(), outcome), states[0]


def train_together(rank: int, folder: str) -> None:
    """Train with several workers from the begin, and from a state of one worker."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", timedelta(seconds=60), world_size=WORKERS, rank=rank
    )
    worker = Worker(shard=Shard(rank, WORKERS))
    of_one = torch.load(f"{folder}/one.pt", weights_only=True)
    found = [trained(worker), trained(worker, of_one)]
    torch.save(found, f"{folder}/{rank}.pt")
    del found
    gc.collect()  # references to the process group must go before it
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def trainings(tmp_path_factory) -> tuple[dict[str, Trained], list[State]]:
    """The training by way of its number of workers, and the first state of each of several."""
    folder: Path = tmp_path_factory.mktemp("workers")
    before, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        one, state = trained(Worker())
        torch.save(state, folder / "one.pt")
        torch.multiprocessing.spawn(train_together, (str(folder),), nprocs=WORKERS)
        of_each = [torch.load(folder / f"{r}.pt", weights_only=False) for r in range(WORKERS)]
        (several, state_of_several), (fewer_before, _) = of_each[0]
        more_before, _ = trained(Worker(), deepcopy(state_of_several))
    finally:
        torch.set_default_dtype(before)
        torch.set_num_threads(threads)
    ways = {"1": one, "3": several, "1, then 3": fewer_before, "3, then 1": more_before}
    return ways, [of_rank[0][1] for of_rank in of_each]


@pytest.mark.parametrize("way", ["3", "1, then 3", "3, then 1"])
def test_results_are_those_of_one_worker_up_to_rounding(trainings, way):
    one, other = trainings[0]["1"], trainings[0][way]
    assert one.curve[-1].step == STEPS
    assert [point.step > CHANGE for point in one.curve] == [True, True]
    assert len(other.curve) == len(one.curve)
    for ours, theirs in zip(other.curve, one.curve, strict=True):
        assert (ours.step, ours.epoch, ours.lr) == (theirs.step, theirs.epoch, theirs.lr)
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=TOLERANCE)
        assert ours.test_accuracy == theirs.test_accuracy
    for name, value in one.weights.items():
        if COUNTER not in name:
            torch.testing.assert_close(other.weights[name], value, rtol=TOLERANCE, atol=TOLERANCE)
    assert np.array_equal(other.correct, one.correct)
    assert np.array_equal(other.scores["forgetting"], one.scores["forgetting"])
    np.testing.assert_allclose(other.scores["el2n"], one.scores["el2n"], rtol=TOLERANCE)


def test_a_state_holds_nothing_of_a_worker(trainings):
    first, *others = (flat(state) for state in trainings[1])
    assert first["step"] == CHANGE
    for other in others:
        assert other.keys() == first.keys()
        for name in first.keys() - {"seconds"}:
            assert torch.equal(torch.as_tensor(other[name]), torch.as_tensor(first[name])), name


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """The numbers and tensors of a state by where they stand in it."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, one in items for k, v in flat(one, f"{name}.{key}").items()}
    return {} if value is None else {name.lstrip("."): value}

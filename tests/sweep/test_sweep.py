"""The sweep through real Ray Tune, with faults that really happen in the trial's process."""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rayred.config import Sweep, Train
from rayred.data import load_dataset
from rayred.errors import RayredError
from rayred.machines.connect import Cluster, share
from rayred.machines.layout import Layout, Scaling
from rayred.machines.tune import Runner
from rayred.results.trial import Trial, TrialResult
from rayred.sweep.on_ray import PackTraining, run_sweep
from rayred.sweep.plan import plan_trials
from rayred.training.checkpoints import Checkpoints
from rayred.training.task import Task

STUDY = Sweep(fractions=[1.0, 0.5], selectors=["random"], trials=2)
PLAN = plan_trials(STUDY, 0)
ONE = plan_trials(Sweep(fractions=[1.0], trials=1), 0)


def layout(folder: Path, workers: int = 1, pack: int = 1) -> Layout:
    one = Scaling(workers=workers)
    return Layout(one, one, one, one, 2 // workers, 1, pack, str(folder / "ray"))


@pytest.fixture
def train(cluster: Cluster, tmp_path: Path) -> PackTraining:  # noqa: ARG001 - needed for its Ray
    digits = load_dataset("digits")
    plain = {"steps": 8, "batch_size": 32, "augment": {"crop": "none", "flip": False}}
    task = Task.for_dataset("resnet8", digits, Train.model_validate(plain), 0)
    subsets = {"full-1.0": np.arange(1297), **{f"random-0.5-{t}": np.arange(600) for t in (0, 1)}}
    refs = {name: share(rows) for name, rows in subsets.items()}
    keys = {trial.name: trial.name for trial in PLAN}
    return PackTraining(task, share(digits), refs, keys, layout(tmp_path))


def sweep(
    plan: Sequence[Trial], train: PackTraining, name: str = "sweep", max_failures: int = 3
) -> list[TrialResult]:
    runner = Runner(name, train.layout, max_failures)
    found = {result.trial.name: result for result in run_sweep(plan, len(plan), train, runner)}
    return [found[trial.name] for trial in plan]


def test_every_trial_has_a_result_and_packed_ones_those_of_single_ones(train, tmp_path):
    single = sweep(PLAN, train, "a")
    assert all(result.status == "finished" for result in single)
    assert [result.n_train for result in single] == [1297, 600, 1297, 600]
    assert single[0].curve[-1]["test_accuracy"] == single[0].test_accuracy
    packed = sweep(PLAN, replace(train, layout=layout(tmp_path, pack=2)), "b")
    for one, other in zip(single, packed, strict=True):
        assert (one.trial, one.n_train, one.status) == (other.trial, other.n_train, other.status)
        # The first step is the same up to rounding; later ones let rounding grow.
        first, theirs = one.curve[0]["train_loss"], other.curve[0]["train_loss"]
        assert theirs == pytest.approx(first, rel=0.05)


def test_a_diverging_trial_fails_with_its_reason_and_the_others_go_on(train):
    class Poisoned(PackTraining):
        def __call__(self, config, report):
            if config["pack"][0]["selector"] == "full" and config["pack"][0]["trial"] == 1:
                recipe = self.task.recipe.model_copy(update={"lr": 1e30, "warmup_steps": 0})
                poisoned = replace(self.task, recipe=recipe)
                PackTraining(poisoned, self.dataset, self.subsets, self.keys, self.layout)(
                    config, report
                )
            else:
                PackTraining.__call__(self, config, report)

    results = sweep(PLAN, Poisoned(**vars(train)))
    assert [result.status for result in results] == ["finished", "finished", "failed", "finished"]
    assert "the loss is nan" in results[2].reason
    assert results[2].test_accuracy is None


def test_a_trial_goes_on_from_its_checkpoint_when_its_process_dies(train, tmp_path):
    saved = tmp_path / "saved"

    class DiesAtACheckpoint(PackTraining):
        def __call__(self, config, report):
            save = Checkpoints.save

            def saves_and_dies(checkpoints, state):
                save(checkpoints, state)
                with saved.open("a") as file:
                    file.write(f"{state['step']} ")
                if state["step"] == 6:
                    os.kill(os.getpid(), signal.SIGKILL)

            Checkpoints.save = saves_and_dies
            PackTraining.__call__(self, config, report)

    recipe = train.task.recipe.model_copy(update={"checkpoint_steps": 3})
    often = replace(train, task=replace(train.task, recipe=recipe))
    (whole,) = sweep(ONE, often, "a")
    (rest,) = sweep(ONE, DiesAtACheckpoint(**vars(often)), "b")
    assert saved.read_text() == "3 6 "
    assert rest.curve == whole.curve
    assert rest.test_accuracy == whole.test_accuracy
    assert not list((tmp_path / "ray").glob("trial-*"))


def test_a_trial_that_always_loses_its_process_is_named_when_the_others_have_ended(train):
    class AlwaysDies(PackTraining):
        def __call__(self, config, report):
            if config["pack"][0]["selector"] == "full":
                os.kill(os.getpid(), signal.SIGKILL)
            PackTraining.__call__(self, config, report)

    ended = []
    runner = Runner("sweep", train.layout, max_failures=1)
    with pytest.raises(RayredError, match=r"1 of 2 trials failed 2 times.*full-1\.0-0"):
        ended.extend(run_sweep(PLAN[:2], 2, AlwaysDies(**vars(train)), runner))


def test_a_sweep_stops_when_its_caller_stops(train):
    results = run_sweep(PLAN, len(PLAN), train, Runner("sweep", train.layout))
    next(results)
    results.close()  # waits until Ray Tune has stopped


def test_a_trial_of_two_workers_runs_under_ray_train(train, tmp_path):
    (result,) = sweep(ONE, replace(train, layout=layout(tmp_path, workers=2)))
    assert result.status == "finished"
    assert result.curve[-1]["step"] == 8

"""The sweep through real Ray Tune, with faults that really happen in the trial's process."""

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from rayred.config import Sweep, Train
from rayred.data import load_dataset
from rayred.errors import RayredError
from rayred.machines.connect import Cluster, share
from rayred.machines.layout import Layout, Scaling
from rayred.machines.tune import Runner
from rayred.results.trial import TrialResult
from rayred.sweep.on_ray import PackTraining, run_sweep
from rayred.sweep.plan import plan_trials
from rayred.training.checkpoints import Checkpoints
from rayred.training.task import Task

STUDY = Sweep(fractions=[1.0, 0.5], selectors=["random"], trials=2)
PLAN = plan_trials(STUDY, 0)


def layout(folder: Path, pack: int = 1) -> Layout:
    """Return a layout with one trial at a time: each process takes seconds to start."""
    one = Scaling()
    return Layout(one, one, one, one, 1, 1, pack, str(folder / "ray"))


@pytest.fixture(scope="module")
def train(
    cluster: Cluster,  # noqa: ARG001 - needed for its Ray
    tmp_path_factory: pytest.TempPathFactory,
) -> PackTraining:
    digits = load_dataset("digits")
    augment = {"crop": "none", "flip": False}
    plain = {"steps": 8, "batch_size": 32, "checkpoint_steps": 3, "augment": augment}
    task = Task.for_dataset("resnet8", digits, Train.model_validate(plain), 0)
    subsets = {"full-1.0": np.arange(1297), **{f"random-0.5-{t}": np.arange(600) for t in (0, 1)}}
    refs = {name: share(rows) for name, rows in subsets.items()}
    keys = {trial.name: trial.name for trial in PLAN}
    return PackTraining(task, share(digits), refs, keys, layout(tmp_path_factory.mktemp("sweep")))


@pytest.fixture(scope="module")
def single(train: PackTraining) -> list[TrialResult]:
    """The results of all trials, in the order of the plan."""
    ended = list(run_sweep(PLAN, len(PLAN), train, Runner("sweep", train.layout)))
    return sorted(ended, key=lambda result: PLAN.index(result.trial))


@dataclass(frozen=True)
class Faults:
    """What a sweep with faults yields, and the error that it ends with."""

    folder: Path
    results: dict[str, TrialResult]
    error: str


@pytest.fixture(scope="module")
def faults(train: PackTraining, tmp_path_factory: pytest.TempPathFactory) -> Faults:
    """A sweep of trials, three of which have a fault each."""
    folder = tmp_path_factory.mktemp("faults")

    def dies() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def saves_and_dies(checkpoints: Checkpoints, state: dict) -> None:
        save(checkpoints, state)
        with (folder / "saved").open("a") as file:
            file.write(f"{state['step']} ")
        if state["step"] == 6:
            checkpoints.finish()  # or the one of step 3 might be the last
            dies()

    save = Checkpoints.save

    class Faulty(PackTraining):
        def __call__(self, config, report):
            (trial,) = config["pack"]
            train = self
            with pytest.MonkeyPatch.context() as patch:
                if trial["selector"] == "full" and trial["trial"] == 0:
                    patch.setattr(Checkpoints, "save", saves_and_dies)
                elif trial["selector"] == "full":
                    diverges = self.task.recipe.model_copy(update={"lr": 1e30, "warmup_steps": 0})
                    train = replace(self, task=replace(self.task, recipe=diverges))
                elif trial["trial"] == 1:
                    dies()
                PackTraining.__call__(train, config, report)

    faulty = Faulty(**vars(replace(train, layout=layout(folder))))
    ended: list[TrialResult] = []
    with pytest.raises(RayredError) as raised:
        ended.extend(run_sweep(PLAN, len(PLAN), faulty, Runner("sweep", faulty.layout, 1)))
    return Faults(folder, {result.trial.name: result for result in ended}, str(raised.value))


def test_every_trial_has_a_result(single):
    assert all(result.status == "finished" for result in single)
    assert [result.n_train for result in single] == [1297, 600, 1297, 600]
    assert single[0].curve[-1]["test_accuracy"] == single[0].test_accuracy
    correct = [result.correct_images(500) for result in single]
    assert [one.mean() for one in correct if one is not None] == [
        result.test_accuracy for result in single
    ]


def test_packed_trials_have_the_results_of_single_ones_until_the_caller_stops(
    train, single, tmp_path
):
    packs = replace(train, layout=layout(tmp_path, pack=2))
    results = run_sweep(PLAN[1:], 3, packs, Runner("sweep", packs.layout))
    first = [next(results), next(results)]
    results.close()  # waits until Ray Tune has stopped
    assert list(results) == []
    for ours in first:
        (alone,) = [result for result in single if result.trial == ours.trial]
        assert (ours.n_train, ours.status) == (alone.n_train, alone.status)
        # The first step is the same up to rounding; later ones let rounding grow.
        loss = alone.curve[0]["train_loss"]
        assert ours.curve[0]["train_loss"] == pytest.approx(loss, rel=0.05)


def test_a_diverging_trial_fails_with_its_reason_and_the_others_go_on(faults):
    diverged = faults.results["full-1.0-1"]
    assert diverged.status == "failed"
    assert "the loss is nan" in diverged.reason
    assert diverged.test_accuracy is None
    assert diverged.correct_images(500) is None
    assert faults.results["random-0.5-0"].status == "finished"


def test_a_trial_goes_on_from_its_checkpoint_when_its_process_dies(faults, single):
    whole, rest = single[0], faults.results["full-1.0-0"]
    assert (faults.folder / "saved").read_text() == "3 6 "
    assert rest.curve == whole.curve
    assert rest.test_accuracy == whole.test_accuracy
    assert rest.correct == whole.correct
    assert not list((faults.folder / "ray").glob("trial-*"))


def test_a_trial_that_always_loses_its_process_is_named_when_the_others_have_ended(faults):
    assert "1 of 4 trials failed 2 times" in faults.error
    assert "First of them: random-0.5-1" in faults.error
    assert set(faults.results) == {"full-1.0-0", "full-1.0-1", "random-0.5-0"}

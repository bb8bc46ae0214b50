"""The sweep through real Ray Tune, with faults that really happen in the trial's process."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import ray
import torch

from rayred.cli import main
from rayred.config import Sweep, Train
from rayred.data import load_dataset
from rayred.errors import RayredError
from rayred.machines.connect import Cluster, Scaling
from rayred.machines.layout import Execution
from rayred.results.trial import TrialResult, load_trials, plan_trials
from rayred.sweep import on_ray as sweep
from rayred.sweep.on_ray import SweepInputs, make_packs, run_sweep
from rayred.training.checkpoints import Checkpoints
from rayred.training.loop import Task

STUDY = Sweep(fractions=[1.0, 0.5], selectors=["random"], trials=2)


@pytest.fixture
def inputs(cluster: Cluster) -> SweepInputs:  # noqa: ARG001 - needed for its Ray
    digits = load_dataset("digits")
    plain = {"steps": 8, "batch_size": 32, "augment": {"crop": "none", "flip": False}}
    task = Task.for_dataset("resnet8", digits, Train.model_validate(plain), 0)
    subsets = {"full-1.0": np.arange(1297), **{f"random-0.5-{t}": np.arange(600) for t in (0, 1)}}
    return SweepInputs(task, ray.put(digits), digits.digest, subsets)


def execution(tmp_path: Path, workers: int = 1, pack: int = 1) -> Execution:
    one = Scaling(workers=workers)
    return Execution(one, one, one, one, 2 // workers, 1, pack, str(tmp_path / "ray"))


def test_plan_has_the_full_set_once_a_repetition_and_pairs_by_seed():
    plan = plan_trials(Sweep(fractions=[0.5, 1.0, 0.9], trials=2), seed=0)
    assert [trial.name for trial in plan[:5]] == [
        "full-1.0-0",
        "semantic-0.9-0",
        "random-0.9-0",
        "semantic-0.5-0",
        "random-0.5-0",
    ]
    assert len(plan) == 10
    assert len({trial.seed for trial in plan[:5]}) == 1
    assert plan[0].seed != plan[5].seed
    assert plan[1].subset == "semantic-0.9"
    assert plan[7].subset == "random-0.9-1"


def test_results_are_kept_and_nothing_is_trained_twice(inputs, tmp_path):
    plan = plan_trials(STUDY, 0)
    heard: list[TrialResult] = []
    first = run_sweep(plan, inputs, execution(tmp_path), tmp_path / "trials", heard.append)
    assert {result.trial.name for result in heard} == {trial.name for trial in plan}
    assert all(result.status == "finished" for result in first)
    assert [result.n_train for result in first] == [1297, 600, 1297, 600]
    assert first[0].curve[-1]["test_accuracy"] == first[0].test_accuracy
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "trials").iterdir()}
    again = run_sweep(plan, inputs, execution(tmp_path), tmp_path / "trials", heard.append)
    assert again == first
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "trials").iterdir()}
    assert load_trials(tmp_path / "trials", plan) == first


def test_same_seed_gives_the_same_accuracies(inputs, tmp_path):
    plan = plan_trials(STUDY.model_copy(update={"trials": 1}), 0)
    runs = [
        run_sweep(plan, inputs, execution(tmp_path), tmp_path / name, lambda _: None)
        for name in ("a", "b")
    ]
    assert [r.curve for r in runs[0]] == [r.curve for r in runs[1]]


def test_packs_take_trials_of_one_cell_and_one_of_every_cell_first():
    plan = plan_trials(Sweep(fractions=[1.0, 0.5], selectors=["random"], trials=5), 0)
    packs = make_packs(plan, 2)
    assert [[trial.name for trial in pack] for pack in packs] == [
        ["full-1.0-0", "full-1.0-1"],
        ["random-0.5-0", "random-0.5-1"],
        ["full-1.0-2", "full-1.0-3"],
        ["random-0.5-2", "random-0.5-3"],
        ["full-1.0-4"],
        ["random-0.5-4"],
    ]
    assert make_packs(plan, 1) == [[trial] for trial in plan]


def test_packed_trials_have_the_results_of_single_ones(inputs, tmp_path):
    plan = plan_trials(STUDY, 0)
    single = run_sweep(plan, inputs, execution(tmp_path), tmp_path / "a", lambda _: None)
    packed = run_sweep(plan, inputs, execution(tmp_path, pack=2), tmp_path / "b", lambda _: None)
    for one, other in zip(single, packed, strict=True):
        assert (one.trial, one.n_train, one.status) == (other.trial, other.n_train, other.status)
        losses = [point["train_loss"] for point in one.curve]
        assert [point["train_loss"] for point in other.curve] == pytest.approx(losses, rel=1e-3)
        assert one.test_accuracy == pytest.approx(other.test_accuracy, abs=0.05)


def test_a_diverging_trial_fails_with_its_reason_and_the_others_go_on(
    inputs, tmp_path, monkeypatch
):
    original = sweep._run_pack

    def poisoned(config, shared):
        if config["pack"][0]["selector"] == "full" and config["pack"][0]["trial"] == 1:
            task, *rest = shared
            recipe = task.recipe.model_copy(update={"lr": 1e30, "warmup_steps": 0})
            shared = (Task(task.spec, recipe, task.seed), *rest)
        original(config, shared)

    monkeypatch.setattr(sweep, "_run_pack", poisoned)
    plan = plan_trials(STUDY, 0)
    results = run_sweep(plan, inputs, execution(tmp_path), tmp_path / "trials", lambda _: None)
    assert [result.status for result in results] == ["finished", "finished", "failed", "finished"]
    assert "the loss is nan" in results[2].reason
    assert results[2].test_accuracy is None


def test_a_trial_goes_on_from_its_checkpoint_when_its_process_dies(inputs, tmp_path, monkeypatch):
    original = sweep._run_pack
    saved = tmp_path / "saved"

    def dies_at_a_checkpoint(config, shared):
        save = Checkpoints.save

        def saves_and_dies(self, state):
            save(self, state)
            with saved.open("a") as file:
                file.write(f"{state['step']} ")
            if state["step"] == 6:
                os.kill(os.getpid(), signal.SIGKILL)

        Checkpoints.save = saves_and_dies
        original(config, shared)

    spec, seed = inputs.task.spec, inputs.task.seed
    recipe = inputs.task.recipe.model_copy(update={"checkpoint_steps": 3})
    inputs = replace(inputs, task=Task(spec, recipe, seed))
    plan = plan_trials(Sweep(fractions=[1.0], trials=1), 0)
    (whole,) = run_sweep(plan, inputs, execution(tmp_path), tmp_path / "a", lambda _: None)
    monkeypatch.setattr(sweep, "_run_pack", dies_at_a_checkpoint)
    (rest,) = run_sweep(plan, inputs, execution(tmp_path), tmp_path / "b", lambda _: None)
    assert saved.read_text() == "3 6 "
    assert rest.curve == whole.curve
    assert rest.test_accuracy == whole.test_accuracy
    assert not list((tmp_path / "ray").glob("trial-*"))


def test_a_trial_that_always_loses_its_process_is_said_and_left_for_the_next_run(
    inputs, tmp_path, monkeypatch
):
    def always_dies(config, shared):
        del config, shared
        os.kill(os.getpid(), signal.SIGKILL)

    plan = plan_trials(Sweep(fractions=[1.0], trials=1), 0)
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "_run_pack", always_dies)
        patch.setattr(sweep, "MAX_FAILURES", 1)
        with pytest.raises(RayredError, match=r"1 of 1 trials failed 2 times.*full-1\.0-0"):
            run_sweep(plan, inputs, execution(tmp_path), tmp_path / "trials", lambda _: None)
    results = run_sweep(plan, inputs, execution(tmp_path), tmp_path / "trials", lambda _: None)
    assert results[0].status == "finished"


def test_a_pack_that_does_not_fit_is_trained_in_parts(tmp_path, monkeypatch):
    trained = []

    def of_little_memory(tasks, dataset, indices, *, save, worker, resume):
        del dataset, worker
        if resume is None:
            assert len(tasks) == 5
            save({"step": 7, "seconds": 10.0, "pack": [f"weights of {task}" for task in tasks]})
        if len(tasks) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        trained.append((resume["step"], resume["seconds"], *resume["pack"]))
        return [f"{task} on {rows}" for task, rows in zip(tasks, indices, strict=True)]

    monkeypatch.setattr(sweep, "train_pack", of_little_memory)
    tasks, subsets = list("abcde"), list(range(5))
    outcomes = sweep._train_what_fits(tasks, None, subsets, None, str(tmp_path), "trial")
    assert outcomes == ["a on 0", "b on 1", "c on 2", "d on 3", "e on 4"]
    assert trained == [
        (7, 4.0, "weights of a", "weights of b"),
        (7, 2.0, "weights of c"),
        (7, 4.0, "weights of d", "weights of e"),
    ]
    assert not list(tmp_path.iterdir())


def test_where_two_trainings_do_not_fit_a_pack_is_one(monkeypatch):
    def runs_out(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(sweep, "train_pack", runs_out)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10, 20))
    digits = load_dataset("digits")
    task = Task.for_dataset("resnet8", digits, Train.model_validate({}), 0)
    assert sweep._fitting_pack(task, digits, 1.0) == 1


def test_a_trial_of_two_workers_runs_under_ray_train(inputs, tmp_path):
    plan = plan_trials(Sweep(fractions=[1.0], trials=1), 0)
    both = execution(tmp_path, workers=2)
    (result,) = run_sweep(plan, inputs, both, tmp_path / "trials", lambda _: None)
    assert result.status == "finished"
    assert result.curve[-1]["step"] == 8


@pytest.mark.usefixtures("cluster")
def test_a_study_with_a_diverging_trial_ends_with_exit_code_1(run_folder, monkeypatch, capsys):
    original = sweep._run_pack

    def poisoned(config, shared):
        task, *rest = shared
        recipe = task.recipe.model_copy(update={"lr": 1e30, "warmup_steps": 0})
        original(config, (Task(task.spec, recipe, task.seed), *rest))

    monkeypatch.setattr(sweep, "_run_pack", poisoned)
    (run_folder / "trials" / "semantic-0.5-1.json").unlink()
    code = main(["run", str(run_folder / "config.yaml"), "--out", str(run_folder)])
    printed = capsys.readouterr()
    assert code == 1
    assert "trial semantic-0.5-1 failed: the loss is nan" in printed.err
    assert "1 (1 failed)" in printed.out
    table = pd.read_parquet(run_folder / "results.parquet")
    assert table["status"].value_counts().to_dict() == {"finished": 5, "failed": 1}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_pack_is_as_large_as_the_gpu_takes():
    digits = load_dataset("digits")
    task = Task.for_dataset("resnet8", digits, Train.model_validate({}), 0)
    assert 100 < sweep._fitting_pack(task, digits, 1.0) < 100_000

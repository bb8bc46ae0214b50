"""What a person has deleted in MLflow's pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rayred.errors import TrackingError
from rayred.results.trial import Trial, TrialResult
from rayred.store import Store
from rayred.tracking.client import create_store, open_view
from rayred.tracking.tracker import Tracker
from tests.tracking.test_tracker import begun, names_of, parent_of, runs_of
from tests.tracking.writers import DATASET

NAMES = ["semantic-0.9-00", "semantic-0.9-01", "tiny"]


def log_trial(tracker: Tracker, number: int, points: int = 1) -> None:
    values = {"epoch": 1.0, "train_loss": 0.5, "lr": 0.1, "test_accuracy": 0.9}
    curve = tuple({"step": step, **values} for step in range(points))
    trial = Trial("semantic", 0.9, number, number, "semantic-0.9")
    tracker.log_trial(TrialResult(trial, 100, "finished", 0.9, 1.0, curve=curve))


def log(uri: str, store: Store, experiment: str = "rayred", points: int = 1) -> Tracker:
    """Log a study of two trials, as often as one likes."""
    tracker = Tracker(uri, experiment, store, "tiny", {})
    tracker.start(DATASET)
    for number in range(2):
        log_trial(tracker, number, points)
    return tracker


def delete_experiment(uri: str) -> None:
    client = create_store(uri)
    client.delete_experiment(client.get_experiment_by_name("rayred").experiment_id)


def follow(failure: str | None) -> None:
    """Do what a message advises in its last words."""
    assert failure is not None
    advice = failure.rpartition("bring it back with: ")[2]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        advice, shell=True, env=os.environ | {"PATH": path}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["plain", "what?x=1"])
def test_a_deleted_experiment_is_said_to_be_deleted_and_the_advice_helps(tmp_path, folder):
    uri, store = f"sqlite:///{tmp_path}/{folder}/mlflow.db", begun(tmp_path)
    uri = log(uri, store).uri
    delete_experiment(uri)
    failure = log(uri, store).failure
    assert failure is not None
    assert "has the experiment 'rayred' among its deleted ones" in failure
    with pytest.raises(TrackingError) as refused:
        open_view(uri, "rayred")
    assert str(refused.value) == failure
    follow(failure)
    assert log(uri, store).failure is None
    assert names_of(uri) == NAMES


def test_a_study_goes_to_another_experiment_where_the_first_is_deleted(tmp_path):
    uri, store = f"sqlite:///{tmp_path}/mlflow.db", begun(tmp_path)
    log(uri, store)
    delete_experiment(uri)
    assert log(uri, store, "other").failure is None
    client = create_store(uri)
    assert len(client.search_runs([client.get_experiment_by_name("other").experiment_id])) == 3


def test_an_experiment_that_is_deleted_under_way_is_said_to_be_deleted(tmp_path):
    uri, store = f"sqlite:///{tmp_path}/mlflow.db", begun(tmp_path)
    tracker = Tracker(uri, "rayred", store, "tiny", {})
    tracker.start(DATASET)
    delete_experiment(uri)
    log_trial(tracker, 0)
    follow(tracker.failure)
    assert log(uri, store).failure is None
    assert names_of(uri) == NAMES


def test_a_deleted_parent_run_is_made_again_and_has_the_trials_that_are_there(tmp_path):
    uri, store = f"sqlite:///{tmp_path}/mlflow.db", begun(tmp_path)
    create_store(uri).delete_run(log(uri, store).run_id)
    assert log(uri, store).failure is None
    assert names_of(uri) == NAMES
    parent = parent_of(uri).info.run_id
    parents = [run.data.tags.get("mlflow.parentRunId") for run in runs_of(uri)]
    assert sorted(map(str, parents)) == sorted(["None", parent, parent])


def test_a_deleted_trial_is_sent_again_once(tmp_path):
    uri, store = f"sqlite:///{tmp_path}/mlflow.db", begun(tmp_path)
    log(uri, store)
    trial = next(run for run in runs_of(uri) if "rayred.trial" in run.data.tags)
    create_store(uri).delete_run(trial.info.run_id)
    for _ in range(2):
        assert log(uri, store).failure is None
        assert names_of(uri) == NAMES


@pytest.mark.parametrize("name", ["team/study", 'it\'s "mine"', "a`b", "100%?x=1#y", "Ümläut; --"])
def test_an_experiment_may_have_any_name(tmp_path, name):
    uri, store = f"sqlite:///{tmp_path}/mlflow.db", begun(tmp_path)
    for _ in range(2):
        assert log(uri, store, name).failure is None
    client = create_store(uri)
    number = client.get_experiment_by_name(name).experiment_id
    assert len(client.search_runs([number])) == 3
    assert open_view(uri, name).startswith(f"#/experiments/{number}/runs")


def test_ui_of_a_store_without_the_experiment_says_how_to_send_it(tmp_path):
    with pytest.raises(TrackingError, match=r"no experiment 'rayred'; send the run .*upload"):
        open_view(f"sqlite:///{tmp_path}/mlflow.db", "rayred")

"""What MLflow has of a study's result: series by the kept percentage, facts of all runs."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rayred.results.trial import Trial, TrialResult
from rayred.search.results import Candidate, Found
from rayred.tracking.children import PARENT_TAG, TRIAL_TAG
from rayred.tracking.client import create_store, open_view
from rayred.tracking.runs import ChildRun, kept_percent, lacking
from rayred.tracking.tracker import Tracker
from tests.tracking import snippets
from tests.tracking.studies import FACTS, REFERENCE, Study, three_studies
from tests.tracking.test_tracker import begun, parent_of, runs_of

NOW, LATER = 1000, 2000
SMALL = {("full", 1.0): 0.97, ("semantic", 0.5): 0.968}


def series(uri: str, name: str, parent: Any = None) -> list[tuple[int, float]]:
    run = parent or parent_of(uri)
    points = create_store(uri).get_metric_history(run.info.run_id, name)
    return sorted((one.step, round(one.value, 6)) for one in points)


def study_of(uri: str, name: str) -> Any:
    (run,) = [run for run in runs_of(uri) if run.info.run_name == name]
    return run


@pytest.mark.parametrize(
    ("fraction", "percent"),
    [(1.0, 100), (0.9, 90), (0.29, 29), (0.285, 29), (0.875, 88), (0.001, 0), (0.005, 1)],
)
def test_a_step_is_the_kept_percentage_halves_up(fraction, percent):
    assert kept_percent(fraction) == percent


def test_a_point_is_lacking_unless_it_is_the_last_one_at_its_step():
    logged = [("a", 50.0, NOW, 0), ("a", 60.0, LATER, 0), ("b", 0.9, NOW, 90), ("b", 0.8, NOW, 90)]
    again = [("b", 0.9, LATER, 90), ("b", 0.8, LATER, 90), ("a", 60.0, LATER + 1, 0)]
    assert lacking(again, logged) == []
    assert lacking([("a", 50.0, LATER + 1, 0)], logged) == [("a", 50.0, LATER + 1, 0)]
    assert lacking([("b", 0.9, LATER, 80)], logged) == [("b", 0.9, LATER, 80)]


def test_a_value_that_is_not_finite_only_takes_back_an_earlier_one():
    nothing = [("redundant_percent", math.nan, LATER, 0)]
    assert lacking(nothing, []) == []
    assert lacking(nothing, [("redundant_percent", 50.0, NOW, 0)]) == nothing
    assert lacking(nothing, [("redundant_percent", 50.0, NOW, 0), *nothing]) == []


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without anything in it, which takes seconds to make."""
    database = tmp_path_factory.mktemp("empty") / "mlflow.db"
    create_store(f"sqlite:///{database}")
    return database


@pytest.fixture
def uri(empty: Path, tmp_path: Path) -> str:
    """A store of a test's own."""
    shutil.copy(empty, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The store of three studies."""
    folder = tmp_path_factory.mktemp("three")
    uri = f"sqlite:///{folder}/mlflow.db"
    for study in three_studies(folder):
        assert study.log(uri).failure is None
    return uri


def test_the_study_has_its_result_and_a_series_for_every_selector(three):
    parent = study_of(three, "small")
    metrics = parent.data.metrics
    assert metrics["redundant_percent"] == 50
    assert (metrics["trials"], metrics["failed_trials"]) == (3, 0)
    assert series(three, "accuracy_full", parent) == [(100, 0.97)]
    assert series(three, "accuracy_semantic", parent) == [(50, 0.968), (70, 0.969)]
    assert series(three, "accuracy_random", parent) == [(50, 0.9), (70, 0.967)]
    assert parent.data.tags["mlflow.note.content"].startswith("50 % of digits is redundant")


def test_study_and_trials_have_the_same_names_for_the_columns_of_the_list(three):
    parent = study_of(three, "large")
    expected = {
        "dataset": "digits",
        "model": "resnet20",
        "selector": "full, semantic",
        "fraction": "1.0, 0.7, 0.5",
        "n_train": "1000",
    }
    assert {name: parent.data.params[name] for name in expected} == expected
    assert {name: parent.data.tags[name] for name in expected} == expected
    ours = parent.info.run_id
    children = [run for run in runs_of(three) if run.data.tags.get(PARENT_TAG) == ours]
    assert len(children) == 9
    for child in children:
        assert child.data.params["dataset"] == child.data.tags["dataset"] == "digits"
        assert child.data.params["model"] == child.data.tags["model"] == "resnet20"
        assert expected.keys() <= child.data.params.keys()
        assert "test_accuracy" in child.data.metrics


def titles(table: str) -> list[str]:
    """The titles of a printed table; none where it has only numbers."""
    first = table.splitlines()[0].split()
    return first if first[0][0].isalpha() else []


def test_the_program_of_the_documentation_runs_and_prints_such_tables(three):
    pairs = list(zip(snippets.parts(), snippets.run(three), strict=True))
    assert len(pairs) == 7
    for (code, shown), printed in pairs:
        assert bool(printed) == bool(shown), code
        if shown:
            assert titles(printed) == titles(shown)
            assert len(printed.splitlines()) > len(titles(shown)[:1])


def test_failed_trials_are_counted_and_have_their_reason(three):
    parent = study_of(three, "failing")
    assert parent.data.metrics["failed_trials"] == 3
    assert not {"redundant_percent", "accuracy_k_center"} & set(parent.data.metrics)
    failed = [run for run in runs_of(three) if run.info.status == "FAILED"]
    assert {run.data.tags["reason"] for run in failed} == {"the loss is not finite at step 7"}
    assert {run.data.tags[PARENT_TAG] for run in failed} == {parent.info.run_id}
    assert len(failed) == 3


def test_names_of_trials_sort_by_selector_fraction_and_number():
    trials = [
        Trial(selector, fraction, number, 0, "")
        for selector, fraction in (("random", 0.05), ("semantic", 0.5), ("semantic", 0.55))
        for number in range(12)
    ]
    results = [TrialResult(trial, 10, "failed") for trial in trials]
    names = [ChildRun.of_trial(result, None).name for result in results]
    assert names == sorted(names)
    assert names[0] == "random-0.05-00"


def test_two_fractions_that_are_the_same_in_whole_percent_are_two_points_of_a_step(uri, tmp_path):
    accuracies = {("semantic", 0.876): 0.9, ("semantic", 0.875): 0.91}
    study = Study(tmp_path / "run", "close", accuracies)
    for _ in range(2):
        study.log(uri)
        assert series(uri, "accuracy_semantic") == [(88, 0.9), (88, 0.91)]


def test_a_study_without_the_full_set_lacks_only_what_is_not_known(uri, tmp_path):
    accuracies = {("semantic", 0.5): 0.9, ("random", 0.5): 0.8}
    assert Study(tmp_path / "run", "no-full-set", accuracies).log(uri).failure is None
    parent = parent_of(uri)
    assert parent.data.params["selector"] == "semantic, random"
    assert not {"redundant_percent", "accuracy_full"} & set(parent.data.metrics)
    assert series(uri, "accuracy_semantic") == [(50, 0.9)]


def test_redundancy_that_more_trials_do_not_confirm_is_taken_back_and_comes_back(uri, tmp_path):
    study = Study(tmp_path / "run", "small", SMALL)
    study.log(uri)
    results = study.folder / "results.json"
    found = results.read_text()

    def finish_with(text: str, time: float) -> Any:
        tracker = Tracker(uri, "rayred", study.write(), study.name, study.experiment.params())
        results.write_text(text)
        os.utime(results, (time, time))
        tracker.start(FACTS)
        tracker.finish(REFERENCE)
        assert tracker.failure is None
        return parent_of(uri).data.metrics["redundant_percent"]

    nothing = found.replace('"redundant_fraction": 0.5', '"redundant_fraction": null')
    assert math.isnan(finish_with(nothing, 2e9))
    assert math.isnan(finish_with(nothing, 2e9 + 1))
    assert len(series(uri, "redundant_percent")) == 2
    assert finish_with(found, 2e9 + 2) == 50


def test_a_study_that_an_older_version_has_logged_gets_what_it_lacks(uri, tmp_path):
    study = Study(tmp_path / "run", "small", SMALL)
    store, client = study.write(), create_store(uri)
    tracker = Tracker(uri, "rayred", store, study.name, {})
    tracker.start(FACTS)
    number = parent_of(uri).info.experiment_id
    old = study.trials()[0]
    tags = {"rayred.study": store.identity, TRIAL_TAG: old.trial.name, PARENT_TAG: tracker.run_id}
    child = client.create_run(number, tags=tags, run_name=old.trial.name).info.run_id
    client.log_param(child, "selector", "full")
    client.log_metric(tracker.run_id, "accuracy/full-1.0", 0.97)
    client.set_terminated(child)
    for _ in range(2):
        assert study.log(uri).failure is None
        assert len(runs_of(uri)) == 1 + 6
        run = client.get_run(child)
        assert (run.data.params["model"], run.data.tags["model"]) == ("resnet8", "resnet8")
        assert run.data.params["n_train"] == "1000"
    assert series(uri, "accuracy_full") == [(100, 0.97)]


def test_candidates_get_the_model_once_it_is_known(uri, tmp_path):
    tracker = Tracker(uri, "rayred", begun(tmp_path), "searched", {"seed": 0})
    tracker.start(FACTS)
    candidate = Candidate("search-1", {"train.lr": 0.1}, "finished", 0.9, 1.0)
    tracker.log_candidate(candidate)
    found = Found({"train.lr": 0.1}, 0.9, 1.0, {"train.lr": [0.1]}, (candidate,))
    for _ in range(2):
        tracker.log_found(found, {"model": "resnet8", "train.lr": 0.1})
        assert tracker.failure is None
        (child,) = [run for run in runs_of(uri) if TRIAL_TAG in run.data.tags]
        assert child.data.params["model"] == child.data.tags["model"] == "resnet8"
        assert parent_of(uri).data.tags["model"] == "resnet8"


def test_the_pages_are_those_of_training_unless_the_experiment_is_of_another_kind(uri, tmp_path):
    client, kind = create_store(uri), "mlflow.experimentKind"
    Tracker(uri, "new", begun(tmp_path), "one", {}).start(FACTS)
    older = client.create_experiment("older")
    other = client.create_experiment("other", tags={kind: "genai_development"})
    for name in ("new", "older", "other"):
        open_view(uri, name)
    made = client.get_experiment_by_name("new")
    assert made.tags[kind] == client.get_experiment(older).tags[kind] == "custom_model_development"
    assert client.get_experiment(other).tags[kind] == "genai_development"


def test_a_store_that_cannot_be_written_is_said_so_and_still_shown(uri, tmp_path):
    Tracker(uri, "rayred", begun(tmp_path), "one", {}).start(FACTS)
    read_only = f"sqlite:///file:{tmp_path}/mlflow.db?mode=ro&uri=true"
    assert open_view(read_only, "rayred") == "#/experiments/1/runs"
    failure = Study(tmp_path / "new", "new", SMALL).log(read_only).failure
    assert failure is not None
    assert "can only be read; choose another store" in failure

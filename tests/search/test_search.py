"""The search for settings: what it tries, what it finds, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rayred.config import Experiment
from rayred.config.file import parse_experiment
from rayred.data import load_dataset
from rayred.data.dataset import Dataset, Split
from rayred.errors import ConfigError, TrainingError
from rayred.job import Job
from rayred.machines.connect import Cluster
from rayred.machines.layout import Layout, fixed_resources
from rayred.pipeline import _find_settings, run
from rayred.search.results import Candidate, Found, best_of, load_found, save_found
from rayred.search.trial import hold_out
from rayred.store import open_store
from tests.conftest import TINY, rayred_here


def experiment_of(**sweep: Any) -> Experiment:
    """Return an experiment with one trial at a time: each process takes seconds to start."""
    changes = {"sweep": {**TINY["sweep"], **sweep}, "resources": {"concurrent_trials": 1}}
    return parse_experiment({**TINY, **changes}, "test")


class CutOffError(Exception):
    """Ends a search in the middle."""


def search(
    cluster: Cluster, tmp_path: Path, experiment: Experiment, cut_off_after: int | None = None
) -> tuple[Found, list[Candidate]]:
    """Search as a study does, with candidates kept in a folder."""
    fixed = {**fixed_resources(experiment.resources, cluster), "threads": 1}
    values = {f"resources.{name}": value for name, value in fixed.items()}
    experiment = experiment.with_fixed({**values, "train.precision": "float32"})
    resources, digits = experiment.resources, load_dataset("digits")
    layout = Layout.plan(resources, "auto", cluster, str(tmp_path))
    tracked: list[Candidate] = []

    def log_candidate(candidate: Candidate) -> None:
        tracked.append(candidate)
        if len(tracked) == cut_off_after:
            raise CutOffError

    with open_store(tmp_path / "run", make=True) as store:
        tracker = SimpleNamespace(
            log_candidate=log_candidate, log_found=lambda *_: None, failure=None
        )
        job = Job(experiment, store, digits, layout)
        _, found = _find_settings(job, tracker)
    return found, tracked


def test_what_is_held_out_is_a_share_of_every_class_and_not_trained_on():
    digits = load_dataset("digits")
    held_out, rows = hold_out(digits, 0.1, seed=3)
    sizes = digits.train.class_sizes()
    assert held_out.test.class_sizes().tolist() == [round(0.1 * size) for size in sizes]
    assert len(rows) + len(held_out.test) == len(digits.train)
    others = set(digits.train.names) - {digits.train.names[row] for row in rows}
    assert set(held_out.test.names) == others
    assert not others & set(digits.test.names)
    assert (hold_out(digits, 0.1, seed=3)[1] == rows).all()
    assert (hold_out(digits, 0.1, seed=4)[1] != rows).any()


def test_a_class_of_one_image_cannot_be_split():
    images = np.zeros((3, 8, 8, 1), np.uint8)
    split = Split(images, np.array([0, 0, 1]), ["a", "b", "c"], ("many", "one"))
    with pytest.raises(ConfigError, match="class 'one' has one image"):
        hold_out(Dataset("few", split, split), 0.1, 0)


def test_settings_replaced_take_their_recipes_defaults_along():
    experiment = experiment_of()
    assert experiment.with_settings({"train.steps": 100}).train.warmup_steps == 20
    paper = experiment.with_settings({"train.recipe": "paper"})
    assert (paper.train.steps, paper.train.weight_decay) == (30, 1e-4)
    by_default = parse_experiment({"dataset": "digits"}, "test")
    assert by_default.with_settings({"train.recipe": "paper"}).train.steps == 600
    assert paper.train.warmup_steps == round(0.025 * 30)
    padded = experiment.with_settings({"train.augment.pad": 2, "model": "resnet20"})
    assert (padded.train.augment.pad, padded.train.augment.flip, padded.model) == (
        2,
        False,
        "resnet20",
    )


@pytest.fixture(scope="module")
def grid(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Found, list[Candidate]]:
    space = {"linkage.method": ["complete", "single"], "train.lr": [0.1, 0.05]}
    return search(cluster, tmp_path_factory.mktemp("grid"), experiment_of(**space))


def test_a_grid_is_tried_whole_and_the_best_is_found(grid, tmp_path):
    found, told = grid
    tried = [(c.settings["linkage.method"], c.settings["train.lr"]) for c in found.candidates]
    assert sorted(tried) == [
        ("complete", 0.05),
        ("complete", 0.1),
        ("single", 0.05),
        ("single", 0.1),
    ]
    assert found.accuracy == max(candidate.accuracy for candidate in told)
    save_found(tmp_path / "search.json", found)
    assert load_found(tmp_path / "search.json") == found


def test_linkages_are_judged_by_trainings_on_their_own_semantic_subsets(grid):
    found, told = grid
    assert len({tuple(point["train_loss"] for point in one.curve) for one in told}) == 4
    # An epoch of half the images, but for those held out: 585 or so of 1,297.
    epochs = 30 * 64 / 585
    assert all(one.curve[-1]["epoch"] == pytest.approx(epochs, rel=0.02) for one in told)
    assert "after training on semantic 50 % subsets" in found.sentence()


@pytest.mark.parametrize(("method", "asha"), [("random", True), ("optuna", False)])
def test_a_search_that_was_cut_off_goes_on_with_what_it_had(cluster, tmp_path, method, asha):
    space = {"train.lr": {"loguniform": [0.01, 0.5]}, "train.batch_size": {"randint": [32, 65]}}
    settings = {"method": method, "samples": 4, "asha": asha}
    experiment = experiment_of(**space, search=settings)
    with pytest.raises(CutOffError):
        search(cluster, tmp_path, experiment, cut_off_after=2)
    kept = (tmp_path / "run" / "made").glob("candidate-*/candidate.json")
    before = [json.loads(path.read_text()) for path in kept]
    assert len(before) == 2
    again, told = search(cluster, tmp_path, experiment)
    for candidate in again.candidates:
        assert 0.01 <= candidate.settings["train.lr"] <= 0.5
        assert 32 <= candidate.settings["train.batch_size"] <= 64
    assert len({candidate.settings["train.lr"] for candidate in again.candidates}) == 4
    now = {candidate.name: candidate for candidate in again.candidates}
    assert len(now) == 4
    for one in before:
        candidate = now[one["name"]]
        assert (candidate.status, candidate.accuracy) == (one["status"], one["accuracy"])
        assert candidate.train_seconds == one["train_seconds"]
    assert len(told) == (2 if method == "optuna" else 4)


def test_a_candidate_that_falls_behind_is_stopped_early_and_never_chosen(cluster, tmp_path):
    rates = [0.1, 1e-8, 1e-9]
    experiment = experiment_of(
        **{"train.lr": rates, "train.steps": [100], "search": {"asha": True}}
    )
    found, _ = search(cluster, tmp_path, experiment)
    stopped = [candidate for candidate in found.candidates if candidate.status == "stopped"]
    assert stopped
    assert all(candidate.curve[-1]["step"] < 100 for candidate in stopped)
    finished = [candidate for candidate in found.candidates if candidate.status == "finished"]
    assert found.accuracy == max(candidate.accuracy for candidate in finished)
    assert found.settings not in [candidate.settings for candidate in stopped]
    assert f"{len(stopped)} of them stopped early" in found.sentence()


def test_a_search_without_a_finished_candidate_names_a_reason():
    failed = Candidate("search-a", {"train.lr": 1e30}, "failed", reason="the loss is nan")
    with pytest.raises(TrainingError, match=r"no candidate was trained to the end: .*loss"):
        best_of([failed], 1.0, {})


@pytest.mark.usefixtures("cluster")
def test_a_study_goes_on_with_what_was_found_and_makes_nothing_twice(run_folder, caplog):
    """The only candidate that can be trained has the settings of the study that is there."""
    experiment = experiment_of(**{"train.lr": [0.1, 1e30]})
    with caplog.at_level("INFO", "rayred"):
        study = run(experiment, run_folder, update=True)
    assert study.found.settings == {"train.lr": 0.1}
    (failed,) = [one for one in study.found.candidates if one.status == "failed"]
    assert "loss" in failed.reason
    assert "reference: already done" in caplog.text
    assert "6 of 6 trials are already done" in caplog.text
    assert not pd.read_parquet(run_folder / "results.parquet")["selector"].eq("search").any()
    results = json.loads((run_folder / "results.json").read_text())
    assert results["search"]["settings"] == {"train.lr": 0.1}
    assert "held-out accuracy" in (run_folder / "report.html").read_text()

    from rayred.tracking.client import create_store

    client = create_store(f"sqlite:///{run_folder / 'mlflow.db'}")
    number = client.get_experiment_by_name("rayred").experiment_id
    candidates = client.search_runs([number], "params.selector = 'search'")
    assert {run.data.params["train.lr"] for run in candidates} == {"0.1", "1e+30"}
    (parent,) = client.search_runs([number], "tags.search LIKE 'Settings found%'")
    assert parent.data.params["train.lr"] == "0.1"

    printed = rayred_here("results", run_folder).stdout
    assert "Settings found: train.lr 0.1 (best of 2 candidates" in printed

"""A study that is logged twice leaves MLflow as it is logged once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rayred.review import upload
from rayred.tracking.client import create_store
from rayred.tracking.database import sqlite_uri
from tests.conftest import rayred_here, write_experiment


def artifacts_of(client: Any, run_id: str, folder: str = "") -> list[str]:
    found = client.list_artifacts(run_id, folder)
    return [one.path for one in found if not one.is_dir] + [
        path for one in found if one.is_dir for path in artifacts_of(client, run_id, one.path)
    ]


def content(uri: str) -> dict[str, Any]:
    """All that MLflow has: runs with every point of every metric, artifacts and models."""
    client = create_store(uri)
    number = client.get_experiment_by_name("rayred").experiment_id
    models = client.search_logged_models([number])
    metrics = [[(one.key, one.value) for one in model.metrics or ()] for model in models]
    found: dict[str, Any] = {"models": metrics}
    for run in client.search_runs([number]):
        points = [
            (one.key, one.step, one.value, one.timestamp)
            for name in run.data.metrics
            for one in client.get_metric_history(run.info.run_id, name)
        ]
        found[run.info.run_id] = {
            "status": (run.info.status, run.info.end_time),
            "params": run.data.params,
            "tags": run.data.tags,
            "points": sorted(points),
            "artifacts": sorted(artifacts_of(client, run.info.run_id)),
            "data sets": [one.dataset.digest for one in run.inputs.dataset_inputs],
            "outputs": [one.model_id for one in run.outputs.model_outputs] if run.outputs else [],
        }
    return found


def make_older(folder: Path) -> None:
    """Give the results other times than those that they were logged with."""
    for name in ("results.json", "reference.pt"):
        os.utime(folder / name, (1e9, 1e9))


@pytest.mark.usefixtures("cluster")
def test_a_finished_study_that_is_run_and_uploaded_again_changes_nothing(run_folder, tmp_path):
    # A copy has the artifacts of the study it was copied from: it is sent to a database of its own.
    uri = sqlite_uri(tmp_path / "what?x=1" / "mlflow.db")
    assert upload(run_folder, uri).failure is None
    once = content(uri)
    assert len(once) == 1 + 7
    make_older(run_folder)
    assert upload(run_folder, uri).failure is None
    assert content(uri) == once
    study = write_experiment(tmp_path / "tiny.yaml", tracking={"uri": uri})
    again = rayred_here("run", study, "--out", run_folder)
    assert again.returncode == 0, again.stderr
    assert content(uri) == once


def test_only_what_is_missing_is_sent(run_folder, tmp_path):
    uri = sqlite_uri(tmp_path / "mlflow.db")
    first = upload(run_folder, uri)
    client = create_store(uri)
    number = client.get_experiment_by_name("rayred").experiment_id
    trial = client.search_runs([number], "params.selector = 'random'")[0]
    client.delete_run(trial.info.run_id)
    upload(run_folder, uri)
    once = content(uri)
    assert len(once) == 1 + 7
    assert once[first.run_id]["status"][0] == "FINISHED"


def test_a_model_that_a_kill_has_left_half_sent_is_not_there_twice(run_folder, tmp_path):
    uri = sqlite_uri(tmp_path / "mlflow.db")
    first = upload(run_folder, uri)
    client = create_store(uri)
    client.delete_tag(first.run_id, "rayred.reference_model")
    upload(run_folder, uri)
    assert len(content(uri)["models"]) == 1

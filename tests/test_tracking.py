"""A tracking server that does not answer, and what is sent to it later."""

from __future__ import annotations

import socket

import pytest

from rayred.run_folder import RunFolder
from rayred.tracking import create_store, tracking_uri
from tests.conftest import rayred, write_experiment


@pytest.fixture
def dead_server() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def names_of(uri: str) -> list[str]:
    client = create_store(uri)
    runs = client.search_runs([client.get_experiment_by_name("rayred").experiment_id])
    return sorted(run.data.tags["mlflow.runName"] for run in runs)


def test_a_run_without_its_server_finishes_and_is_uploaded_later_once(
    run_folder, tmp_path, dead_server
):
    study = write_experiment(tmp_path / "s.yaml", tracking={"uri": dead_server})
    (run_folder / "trials" / "full-1.0-1.json").unlink()
    done = rayred("run", study, "--out", run_folder, "--update")
    assert done.returncode == 0, done.stderr
    assert f"MLflow at {dead_server} does not answer" in done.stderr
    assert f"rayred upload {run_folder}" in done.stdout
    assert (run_folder / "results.parquet").exists()

    again = rayred("upload", run_folder)
    assert again.returncode == 1
    assert dead_server in again.stderr

    store = f"sqlite:///{tmp_path / 'later.db'}"
    for _ in range(2):
        sent = rayred("upload", run_folder, "--uri", store)
        assert sent.returncode == 0, sent.stderr
        assert len(names_of(store)) == len(set(names_of(store))) == 7


def test_what_auto_means_is_decided_once(tmp_path, monkeypatch):
    folder, other = RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri("auto", folder) == f"sqlite:///{tmp_path / 'a' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_uri("auto", other) == "http://tracking:5000"
    assert tracking_uri("auto", folder) == f"sqlite:///{tmp_path / 'a' / 'mlflow.db'}"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_uri("auto", other) == "http://tracking:5000"
    assert tracking_uri("sqlite:///x.db", folder) == "sqlite:///x.db"

"""Folders whose names mean something in a URI."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from rayred.tracking.client import create_store, start_monitor
from rayred.tracking.database import database_file, sqlite_uri
from rayred.tracking.tracker import Tracker, tracking_uri
from rayred.tracking.ui import serve
from tests.tracking.test_tracker import begun
from tests.tracking.writers import DATASET

NAMES = [
    "what?x=1",
    "a%20b",
    "a%2Fb",
    "100%",
    "a#b",
    "a b",
    "Ümläut",
    "a:b",
    "a&b;c",
    "[x]",
    "a\\b",
    "q'\"",
    "new\nline",
]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is complete, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    create_store(sqlite_uri(path))
    return path


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("setting", ["auto", "sqlite:///{}"])
def test_database_and_artifacts_lie_in_the_folder_whatever_its_name(
    name, setting, tmp_path, empty, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / name
    store = begun(folder)
    shutil.copy(empty, store.place("mlflow.db"))
    uri = tracking_uri(setting.format(store / "mlflow.db"), store)
    assert database_file(uri) == store / "mlflow.db"
    tracker = Tracker(uri, "rayred", store, "tiny", {})
    tracker.start(DATASET)
    assert tracker.failure is None
    (store / "report.html").write_text("content")
    client = create_store(uri)
    client.log_artifact(tracker.run_id, str(store / "report.html"))
    got = client.download_artifacts(tracker.run_id, "report.html")
    assert Path(got).read_text() == "content"
    assert names_in(tmp_path) == [name]
    (artifact,) = (store / "mlartifacts").rglob("report.html")
    assert artifact.read_text() == "content"


def test_a_database_of_an_odd_name_is_made_in_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/what?x=1/a%20b.db"
    Tracker(uri, "rayred", begun(tmp_path), "tiny", {}).start(DATASET)
    assert (tmp_path / "what?x=1" / "a%20b.db").stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == {"run", "what?x=1"}


def test_system_metrics_go_to_a_database_of_an_odd_name(tmp_path, empty, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
    folder = tmp_path / "what?x=1"
    folder.mkdir()
    shutil.copy(empty, folder / "mlflow.db")
    uri = sqlite_uri(folder / "mlflow.db")
    tracker = Tracker(uri, "rayred", begun(folder), "tiny", {})
    tracker.start(DATASET)
    monitor = start_monitor(uri, tracker.run_id, "here")
    until = time.monotonic() + 60
    while not create_store(uri).get_run(tracker.run_id).data.metrics:
        assert time.monotonic() < until
        time.sleep(0.5)
    monitor.finish()
    assert names_in(tmp_path) == ["what?x=1"]


@pytest.mark.slow
def test_ui_serves_a_database_of_an_odd_name(tmp_path, empty):
    folder = tmp_path / "what?x=1 a%20b"
    folder.mkdir()
    shutil.copy(empty, folder / "mlflow.db")
    uri = sqlite_uri(folder / "mlflow.db")
    tracker = Tracker(uri, "rayred", begun(folder), "tiny", {})
    tracker.start(DATASET)
    (folder / "report.html").write_text("content")
    create_store(uri).log_artifact(tracker.run_id, str(folder / "report.html"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serve(uri, "rayred", port):
        page = f"http://127.0.0.1:{port}/get-artifact?path=report.html&run_uuid={tracker.run_id}"
        with urllib.request.urlopen(page, timeout=30) as answer:
            assert answer.read() == b"content"
    assert names_in(tmp_path) == [folder.name]


@pytest.mark.slow
def test_mlflow_s_own_commands_take_the_uri_that_is_shown(tmp_path, empty):
    folder = tmp_path / "what?x=1 a%20b"
    folder.mkdir()
    shutil.copy(empty, folder / "mlflow.db")
    command = [sys.executable, "-m", "mlflow", "experiments", "search"]
    listed = subprocess.run(
        command,
        env=os.environ | {"MLFLOW_TRACKING_URI": sqlite_uri(folder / "mlflow.db")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Default" in listed.stdout


def test_options_of_the_driver_are_left_to_it(tmp_path):
    uri = f"sqlite:///{tmp_path}/x.db?timeout=60"
    assert tracking_uri(uri, begun(tmp_path)) == uri
    assert database_file(uri) == tmp_path / "x.db"


def test_a_folder_whose_name_is_not_utf_8_is_said_to_be_of_no_use_to_mlflow(tmp_path, caplog):
    folder = tmp_path / os.fsdecode(b"bad\xff")
    tracker = Tracker(sqlite_uri(folder / "mlflow.db"), "rayred", begun(tmp_path), "tiny", {})
    tracker.start(DATASET)
    assert tracker.failure is not None
    assert "whose name is not UTF-8; rename the folder" in caplog.text

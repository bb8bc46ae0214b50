"""A finished study that is run again, goes to another config, and comes back."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from filelock import FileLock

from rayred.errors import FolderClosedError
from rayred.review import report, upload
from rayred.store import Store
from rayred.tracking.client import create_store
from tests.conftest import rayred_here, write_experiment


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """All files of a run folder but MLflow's lock, with their times and sizes."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in found.items()}


def points(folder: Path) -> dict[tuple[str, str], int]:
    """The number of points of every metric of every run in MLflow."""
    client = create_store(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rayred").experiment_id
    return {
        (run.info.run_id, metric): len(client.get_metric_history(run.info.run_id, metric))
        for run in client.search_runs([experiment])
        for metric in run.data.metrics
    }


def test_it_does_nothing_and_logs_nothing_twice(finished, tmp_path, caplog):
    """Also on another number of trials at a time, with checkpoints elsewhere."""
    folder = finished[0]
    before, logged = files(folder), points(folder)
    study = write_experiment(tmp_path / "tiny.yaml")
    again = rayred_here("run", study, "--out", folder)
    assert again.returncode == 0
    assert again.stdout == finished[1]
    assert "nothing is left to do" in caplog.text
    after = files(folder)
    assert {path for path in before if before[path] != after[path]} <= {folder / "rayred.json"}
    assert after.keys() - before.keys() == set()
    assert points(folder) == logged


@pytest.mark.usefixtures("cluster")
def test_speed_and_places_may_change(run_folder, tmp_path, caplog):
    identity, results = Store(run_folder).identity, (run_folder / "results.json").read_bytes()
    others = {"resources": {"concurrent_trials": 1}, "storage": str(tmp_path / "checkpoints")}
    study = write_experiment(tmp_path / "tiny.yaml", **others)
    assert rayred_here("run", study, "--out", run_folder).returncode == 0
    assert "nothing is left to do" in caplog.text
    assert Store(run_folder).identity == identity
    assert (run_folder / "results.json").read_bytes() == results
    assert "concurrent_trials: 1" in (run_folder / "config.yaml").read_text()


@pytest.mark.usefixtures("cluster")
def test_another_config_and_back(run_folder, tmp_path, caplog):
    results = (run_folder / "results.json").read_bytes()
    trials = {path: path.stat().st_mtime_ns for path in run_folder.glob("made/trial-*/*")}
    ours = write_experiment(tmp_path / "tiny.yaml")
    other = write_experiment(tmp_path / "other.yaml", verdict={"margin": 0.5})
    assert rayred_here("run", other, "--out", run_folder).returncode == 2
    assert rayred_here("run", other, "--out", run_folder, "--update").returncode == 0
    assert "6 of 6 trials are already done" in caplog.text
    assert (run_folder / "results.json").read_bytes() != results
    assert rayred_here("run", ours, "--out", run_folder).returncode == 2
    caplog.clear()
    assert rayred_here("run", ours, "--out", run_folder, "--update").returncode == 0
    assert "nothing is left to do" in caplog.text
    assert (run_folder / "results.json").read_bytes() == results
    assert {path: path.stat().st_mtime_ns for path in trials} == trials

    listed = rayred_here("clean", run_folder, "--dry-run")
    assert listed.returncode == 0
    assert {Path(line).name.partition("-")[0] for line in listed.stdout.splitlines()[:-1]} == {
        "config",
        "report",
    }
    assert "2 folders" in listed.stdout
    assert rayred_here("clean", run_folder).returncode == 0
    assert rayred_here("clean", run_folder).stdout.startswith("0 folders")
    assert (run_folder / "results.json").read_bytes() == results
    assert "nothing is left to do" in caplog.text


def test_a_file_that_was_cut_is_noticed_by_every_command(run_folder, caplog):
    (cut,) = run_folder.glob("made/trial-full-1.0-0-*/trial.json")
    cut.chmod(0o644)
    with cut.open("r+") as file:
        file.truncate(100)
    done = rayred_here("results", run_folder)
    assert done.returncode == 0
    assert f"{cut} has 100 bytes instead of" in caplog.text
    assert "full             1   1,297       1" in done.stdout


def test_a_folder_at_work_has_its_report_made_elsewhere(run_folder, tmp_path):
    with FileLock(run_folder / ".rayred.lock"):
        for call in (report, upload):
            with pytest.raises(FolderClosedError, match="another rayred is at work"):
                call(run_folder)
        refused = rayred_here("report", run_folder)
        assert refused.returncode == 2
        assert "use --out" in refused.stderr
        assert rayred_here("report", run_folder, "--out", tmp_path / "report").returncode == 0
        assert rayred_here("results", run_folder).returncode == 0
    ours, theirs = (
        pd.read_parquet(p / "results.parquet") for p in (tmp_path / "report", run_folder)
    )
    pd.testing.assert_frame_equal(ours, theirs)
    assert (tmp_path / "report" / "report.html").exists()
    again = rayred_here("report", run_folder, "--out", tmp_path / "report")
    assert again.returncode == 2
    assert "not empty" in again.stderr


def test_a_read_only_folder_is_reported_elsewhere(run_folder, tmp_path, monkeypatch):
    class ReadOnlyLock(FileLock):
        def acquire(self, *_: object, **__: object) -> None:
            raise OSError(30, "Read-only file system")

    monkeypatch.setattr("rayred.store.opening.FileLock", ReadOnlyLock)
    denied = SimpleNamespace(access=lambda *_: False, W_OK=os.W_OK)
    monkeypatch.setattr("rayred.review.os", denied)
    for command, option in (("report", "--out"), ("upload", "--uri")):
        refused = rayred_here(command, run_folder)
        assert refused.returncode == 2
        assert "cannot write the folder: Read-only file system" in refused.stderr
        assert f"use {option}" in refused.stderr
    assert rayred_here("report", run_folder, "--out", tmp_path / "report").returncode == 0
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert rayred_here("upload", run_folder, "--uri", uri).returncode == 0


@pytest.mark.parametrize("command", ["results", "report", "upload", "ui", "clean"])
def test_a_folder_that_is_no_run_folder(tmp_path, command):
    (tmp_path / "mine.txt").write_text("mine")
    done = rayred_here(command, tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"rayred: {tmp_path}: no run folder (it has no rayred.json)\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_study_that_has_just_begun_has_no_results(tmp_path):
    from rayred.store import open_store

    with open_store(tmp_path, make=True):
        pass
    for command in ("results", "report", "upload", "ui"):
        done = rayred_here(command, tmp_path)
        assert done.returncode == 2
        assert str(tmp_path) in done.stderr


def test_a_report_is_not_written_over_files_or_among_the_images(run_folder, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/report"):
        done = rayred_here("report", run_folder, "--out", tmp_path / out)
        assert done.returncode == 2
        assert "--out" in done.stderr
    assert (tmp_path / "file").read_text() == "mine"

"""Kill everything at any point, start again: nothing finished is done twice, same results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pandas as pd
import pytest

from rayred.pipeline import run
from rayred.store import Store
from tests.conftest import kill_all, rayred, write_experiment


def run_and_kill(
    arguments: list[str], reached: Callable[[], bool], interrupt: bool = False
) -> None:
    """Start the command, wait until it has got so far, then kill -9 it and all it started.

    Or interrupt it, as by Ctrl-C, and see that it says so.
    """
    others = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")  # with a Ray of its own, which is killed too
    environment = {k: v for k, v in os.environ.items() if k not in others}
    with subprocess.Popen(
        [sys.executable, "-m", "rayred", *arguments],
        env=environment,
        stderr=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 120
        while not reached():
            assert process.poll() is None, "the run ended before it was killed"
            assert time.monotonic() < until
            time.sleep(0.02)
        if interrupt:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
        else:
            kill_all(process.pid)


@pytest.mark.timeout(400)
@pytest.mark.slow
def test_a_run_that_is_interrupted_and_killed_goes_on(finished, tmp_path):
    study = write_experiment(tmp_path / "tiny.yaml")
    out = tmp_path / "run"
    command = ["run", str(study), "--out", str(out)]

    run_and_kill(command, (out / "stages" / "reference.json").exists, interrupt=True)
    reference = (out / "reference.pt").stat().st_mtime_ns

    run_and_kill(command, lambda: len(list((out / "trials").glob("[!.]*.json"))) >= 2)
    done = {path: path.stat().st_mtime_ns for path in (out / "trials").glob("[!.]*.json")}
    assert 2 <= len(done) < 6

    last = rayred(*command)
    assert last.returncode == 0, last.stderr
    assert "reference: already done" in last.stderr
    assert f"{len(done)} of 6 trials are already done" in last.stderr
    assert (out / "reference.pt").stat().st_mtime_ns == reference
    assert {path: path.stat().st_mtime_ns for path in done} == done

    columns = ["selector", "fraction", "trial", "seed", "n_train", "test_accuracy", "status"]
    ours = pd.read_parquet(out / "results.parquet")[columns]
    uninterrupted = pd.read_parquet(finished[0] / "results.parquet")[columns]
    pd.testing.assert_frame_equal(ours, uninterrupted)

    from rayred.tracking.client import create_store

    client = create_store(f"sqlite:///{out / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("rayred").experiment_id])
    names = [run.data.tags["mlflow.runName"] for run in runs]
    assert len(names) == len(set(names)) == 7
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.usefixtures("cluster")
def test_a_changed_setting_redoes_only_what_depends_on_it(run_folder, tmp_path, caplog):
    before = {path: path.stat().st_mtime_ns for path in (run_folder / "trials").iterdir()}
    sweep = {"fractions": [1.0, 0.5], "selectors": ["semantic", "random"], "trials": 3}
    study = write_experiment(tmp_path / "tiny.yaml", sweep=sweep)
    with caplog.at_level("INFO", "rayred"):
        run(study, run_folder, update=True)
    for stage in ("reference", "embeddings", "trees"):
        assert f"{stage}: already done" in caplog.text
    assert "6 of 9 trials are already done" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(pd.read_parquet(run_folder / "results.parquet")) == 9


def test_more_trials_are_the_same_study_and_only_the_missing_ones_run(run_folder, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in (run_folder / "trials").iterdir()}
    identity = Store(run_folder).identity
    study = write_experiment(tmp_path / "tiny.yaml")
    done = rayred("run", study, "--out", run_folder, "--trials", "3")
    assert done.returncode == 0, done.stderr
    assert "6 of 9 trials are already done" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert Store(run_folder).identity == identity
    fewer = rayred("run", study, "--out", run_folder)
    assert fewer.returncode == 2
    assert "sweep.trials (3 there, 2 now)" in fewer.stderr

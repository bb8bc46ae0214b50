"""Kill everything at any point, start again: nothing finished is done twice, same results."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import pandas as pd
import pytest

from rayred.pipeline import run
from rayred.store import Store
from tests.conftest import kill_all, rayred_here, write_experiment


def run_and_kill(arguments: list[str], reached: Callable[[], bool], interrupt: bool = False) -> str:
    """Start the command, wait until it has got so far, then kill -9 it and all it started.

    Or interrupt it, as by Ctrl-C, and see that it says so. Returns what it has said.
    """
    others = ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")  # with a Ray of its own, which is killed too
    environment = {k: v for k, v in os.environ.items() if k not in others}
    with (
        TemporaryFile("w+") as said,
        subprocess.Popen(
            [sys.executable, "-m", "rayred", *arguments],
            env=environment,
            stderr=said,
            # A shell's background jobs, such as these tests may be, have Ctrl-C ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process,
    ):
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
        said.seek(0)
        return said.read()


@pytest.mark.usefixtures("cluster")
@pytest.mark.timeout(400)
def test_a_run_that_is_interrupted_and_killed_goes_on_with_the_same_results(
    finished, run_folder, tmp_path, caplog
):
    """Also: more trials are the same study, and only the missing ones are run."""
    for trial in (run_folder / "made").glob("trial-*"):
        shutil.rmtree(trial)
    identity = Store(run_folder).identity
    reference = (run_folder / "reference.pt").stat().st_mtime_ns
    command = ["run", str(write_experiment(tmp_path / "tiny.yaml")), "--out", str(run_folder)]
    more = [*command, "--trials", "5"]

    def ended() -> list[Path]:
        return sorted((run_folder / "made").glob("trial-*"))

    said = run_and_kill(more, lambda: len(ended()) >= 2, interrupt=True)
    assert "reference: already done" in said
    assert said.endswith("rayred: interrupted; the same command goes on from here\n")
    interrupted = len(ended())
    run_and_kill(more, lambda: len(ended()) >= interrupted + 2)
    done = {path: path.stat().st_mtime_ns for path in ended()}
    assert 4 <= len(done) < 15
    # The config is that of five trials, and the report of two is not shown beside it.
    assert "trials: 5" in (run_folder / "config.yaml").read_text()
    assert not (run_folder / "results.json").exists()

    with caplog.at_level("INFO", "rayred"):
        last = rayred_here(*more)
    assert last.returncode == 0, last.stderr
    for stage in ("reference", "embeddings", "trees"):
        assert f"{stage}: already done" in caplog.text
    assert f"{len(done)} of 15 trials are already done" in caplog.text
    assert (run_folder / "reference.pt").stat().st_mtime_ns == reference
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert Store(run_folder).identity == identity

    columns = ["selector", "fraction", "trial", "seed", "n_train", "test_accuracy", "status"]
    ours = pd.read_parquet(run_folder / "results.parquet")[columns]
    uninterrupted = pd.read_parquet(finished[0] / "results.parquet")[columns]
    pd.testing.assert_frame_equal(ours[ours["trial"] < 2], uninterrupted)

    from rayred.tracking.client import create_store

    client = create_store(f"sqlite:///{run_folder / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("rayred").experiment_id])
    names = [run.data.tags["mlflow.runName"] for run in runs]
    assert len(names) == len(set(names)) == 16
    assert {run.info.status for run in runs} == {"FINISHED"}

    fewer = rayred_here(*command)
    assert fewer.returncode == 2
    assert "sweep.trials (5 there, 2 now)" in fewer.stderr


@pytest.mark.usefixtures("cluster")
def test_a_changed_setting_redoes_only_what_depends_on_it(run_folder, tmp_path, caplog):
    before = {path: path.stat().st_mtime_ns for path in (run_folder / "made").glob("trial-*/*")}
    sweep = {"fractions": [1.0, 0.75, 0.5], "selectors": ["semantic", "random"], "trials": 2}
    # Where and how fast trials run, and what they are called, decide no result.
    others = {"name": "other", "resources": {"concurrent_trials": 1}}
    study = write_experiment(tmp_path / "tiny.yaml", sweep=sweep, **others)
    with caplog.at_level("INFO", "rayred"):
        run(study, run_folder, update=True)
    for stage in ("reference", "embeddings", "trees"):
        assert f"{stage}: already done" in caplog.text
    assert "6 of 10 trials are already done" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(pd.read_parquet(run_folder / "results.parquet")) == 10

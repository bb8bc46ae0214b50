"""MLflow: real servers, servers that do not answer, many writers, and what is sent later."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rayred.data import load_dataset
from rayred.review import upload
from rayred.store import Store, open_store
from rayred.tracking.client import create_store
from rayred.tracking.on_ray import monitoring
from rayred.tracking.tracker import Tracker, tracking_uri
from tests.conftest import kill_all, rayred_here, write_experiment
from tests.tracking.writers import DATASET, count_children, write_study


@pytest.fixture
def dead_server() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


class Server:
    """A real `mlflow server`."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address = folder, address
        self.start()

    def start(self) -> None:
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        artifacts = ["--artifacts-destination", str(self.folder / "artifacts")]
        host = ["--host", "127.0.0.1", "--port", self.address.rpartition(":")[2], "--workers", "1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *store, *artifacts, *host],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
        until = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=2):
                    return
            except OSError:
                assert self.process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.2)

    def stop(self) -> None:
        kill_all(self.process.pid)
        self.process.wait()


@pytest.fixture
def server(tmp_path, dead_server):
    running = Server(tmp_path, dead_server)
    yield running
    running.stop()


def begun(folder: Path) -> Store:
    """A run folder in which a study has begun."""
    with open_store(folder / "run", make=True) as store:
        store.begin("study")
        return store


def runs_of(uri: str) -> list[Any]:
    client = create_store(uri)
    return list(client.search_runs([client.get_experiment_by_name("rayred").experiment_id]))


def names_of(uri: str) -> list[str]:
    return sorted(run.data.tags["mlflow.runName"] for run in runs_of(uri))


def parent_of(uri: str) -> Any:
    (parent,) = [run for run in runs_of(uri) if "mlflow.parentRunId" not in run.data.tags]
    return parent


@pytest.mark.usefixtures("cluster")
@pytest.mark.timeout(400)
def test_a_server_that_goes_down_in_mid_run_gets_everything_later_once(
    server, run_folder, tmp_path, caplog
):
    changes = {"tracking": {"uri": server.address}, "resources": {"concurrent_trials": 1}}
    study = write_experiment(tmp_path / "tiny.yaml", **changes)
    out = run_folder
    for trial in (out / "made").glob("trial-*"):
        shutil.rmtree(trial)

    def stop_after_two_trials() -> None:
        until = time.monotonic() + 120
        while len(list((out / "made").glob("trial-*"))) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        server.stop()

    with ThreadPoolExecutor(1) as thread:
        stopped = thread.submit(stop_after_two_trials)
        run = rayred_here("run", study, "--out", out)
        stopped.result()
    assert run.returncode == 0, run.stderr
    assert f"MLflow at {server.address} does not answer" in caplog.text
    assert f"rayred upload {out}" in run.stdout

    assert upload(out).failure is not None

    server.start()
    assert 1 <= len(names_of(server.address)) < 7
    for _ in range(2):
        assert upload(out).failure is None
        assert len(names_of(server.address)) == len(set(names_of(server.address))) == 7
        assert {run.info.status for run in runs_of(server.address)} == {"FINISHED"}
    client = create_store(server.address)
    parent = parent_of(server.address).info.run_id
    losses = client.get_metric_history(parent, "reference_train_loss")
    assert [metric.step for metric in losses] == [21, 30]
    assert len(client.get_metric_history(parent, "accuracy_full")) == 1
    assert len(client.search_logged_models([parent_of(server.address).info.experiment_id])) == 1
    figure = client.download_artifacts(parent, "figures/accuracy.png", str(tmp_path))
    leaks = client.download_artifacts(parent, "leaks.csv", str(tmp_path))
    assert Path(leaks).read_bytes() == (out / "leaks.csv").read_bytes()
    assert Path(figure).read_bytes() == (out / "figures" / "accuracy.png").read_bytes()


def test_the_parent_run_says_what_the_study_was_made_of_with_and_on(finished):
    parent = parent_of(f"sqlite:///{finished[0] / 'mlflow.db'}")
    digits = load_dataset("digits")
    (given,) = parent.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("digits", digits.digest)
    assert '"num_rows": 1297' in given.dataset.profile
    tags = parent.data.tags
    results = json.loads((finished[0] / "results.json").read_text())
    assert tags["mlflow.note.content"] == results["verdict"]["sentence"]
    assert "CPUs" in tags["hardware"]
    assert int(tags["hardware.cpus"]) >= 1
    assert tags["version.torch"]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True)
    if commit.returncode == 0:
        assert tags["mlflow.source.git.commit"] == commit.stdout.strip()


def test_the_reference_model_is_there_with_its_signature_and_needs_no_rayred(finished):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{finished[0] / 'mlflow.db'}")
    parent = parent_of(mlflow.get_tracking_uri())
    model = mlflow.pyfunc.load_model(parent.data.tags["rayred.reference_model"])
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 1, 8, 8)
    assert model.metadata.signature.outputs.inputs[0].shape == (-1, 10)
    test = load_dataset("digits").test
    logits = model.predict(np.ascontiguousarray(test.images.transpose(0, 3, 1, 2)))
    accuracy = float((logits.argmax(axis=1) == test.labels).mean())
    assert accuracy == pytest.approx(parent.data.metrics["reference_test_accuracy"])
    client = create_store(mlflow.get_tracking_uri())
    (logged,) = client.search_logged_models([parent.info.experiment_id])
    assert [one.model_id for one in parent.outputs.model_outputs] == [logged.model_id]
    assert logged.params == {"dataset": "digits", "model": "resnet8"}
    (metric,) = logged.metrics
    assert (metric.key, metric.value) == ("reference_test_accuracy", pytest.approx(accuracy))
    assert metric.dataset_digest == load_dataset("digits").digest
    assert len(client.get_metric_history(parent.info.run_id, metric.key)) == 1


@pytest.mark.slow
def test_eight_writers_at_once_lose_nothing_not_even_while_the_database_is_made(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    studies = [tmp_path / f"writer-{number}" for number in range(8)]
    processes = get_context("forkserver")  # which need not import MLflow eight times
    processes.set_forkserver_preload(["tests.tracking.writers", "mlflow.tracking"])
    with ProcessPoolExecutor(8, processes) as writers:
        list(writers.map(write_study, [uri] * 8, studies, [10] * 8))
    assert count_children(uri) == 80


@pytest.mark.usefixtures("cluster")
def test_system_metrics_of_this_machine_are_logged_with_the_parent_run(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    tracker = Tracker(uri, "rayred", begun(tmp_path), "tiny", {})
    tracker.start(DATASET)
    node = f"system/{socket.gethostname()}/cpu_utilization_percentage"
    until = time.monotonic() + 60
    with monitoring(tracker, wanted=True):
        while node not in parent_of(uri).data.metrics:
            assert time.monotonic() < until
            time.sleep(1)


def test_a_server_that_never_answers_is_given_up_in_seconds_and_said_so(
    tmp_path, dead_server, caplog
):
    tracker = Tracker(dead_server, "rayred", begun(tmp_path), "tiny", {})
    started = time.monotonic()
    tracker.start(DATASET)
    assert time.monotonic() - started < 30
    assert tracker.failure is not None
    assert f"MLflow at {dead_server} does not answer" in caplog.text
    tracker.fail()  # silently: nothing more is tried


def test_a_study_is_uploaded_to_any_store(run_folder, tmp_path):
    store = f"sqlite:///{tmp_path / 'later.db'}"
    sent = rayred_here("upload", run_folder, "--uri", store)
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout == f"MLflow at {store} has all of {run_folder}\n"
    assert len(names_of(store)) == len(set(names_of(store))) == 7


def test_what_auto_means_is_decided_once(tmp_path, monkeypatch):
    folder, other = begun(tmp_path / "a"), begun(tmp_path / "b")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri("auto", folder) == f"sqlite:///{tmp_path / 'a' / 'run' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert tracking_uri("auto", other) == "http://tracking:5000"
    assert tracking_uri("auto", folder) == f"sqlite:///{tmp_path / 'a' / 'run' / 'mlflow.db'}"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_uri("auto", other) == "http://tracking:5000"
    assert tracking_uri("sqlite:///x.db", folder) == "sqlite:///x.db"

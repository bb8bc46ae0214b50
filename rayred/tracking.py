"""MLflow: one parent run a study, one child run a trial. The only module that imports it.

Everything logged is in the run folder as well, so a server that does not answer loses nothing:
`Tracker.upload` sends what is missing, once, whenever the server is back. Runs are found again by
the tags `rayred.study` (the run folder's identity) and `rayred.trial`.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayred.errors import TrackingError
from rayred.results import TrialResult
from rayred.run_folder import RunFolder, read_json, write_json

logger = logging.getLogger(__name__)

STUDY_TAG = "rayred.study"
TRIAL_TAG = "rayred.trial"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
ARTIFACTS = ("config.yaml", "results.json", "results.parquet", "report.html")
ARTIFACT_FOLDERS = ("figures", "subsets")

# MLflow's own settings: a server that does not answer is given up after seconds, not minutes.
_CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "GIT_PYTHON_REFRESH": "quiet",
}


def tracking_uri(setting: str, folder: RunFolder) -> str:
    """Return the address meant by the setting `tracking.uri`.

    What ``auto`` means is decided when a study begins, and kept in its folder: in the database that
    lies there, if it is not another one.
    """
    if setting != "auto":
        return setting
    own = f"sqlite:///{folder / 'mlflow.db'}"
    chosen = read_json(folder / "tracking.json").get("uri")
    if chosen is None:
        chosen = os.environ.get("MLFLOW_TRACKING_URI") or "here"
        write_json(folder / "tracking.json", {"uri": chosen})
    return own if chosen == "here" else str(chosen)


class Tracker:
    """Sends a study to MLflow; goes quiet, and says so, when MLflow does not answer.

    Parameters
    ----------
    uri
        Tracking server or database.
    experiment
        MLflow experiment that the runs appear under.
    folder
        The study's run folder.
    name
        Name of the parent run.
    params
        Settings of the study, flat.
    """

    def __init__(
        self, uri: str, experiment: str, folder: RunFolder, name: str, params: Mapping[str, Any]
    ) -> None:
        self.uri = uri
        self.experiment = experiment
        self.folder = folder
        self.name = name
        self.params = params
        self.failure: str | None = None
        """Why MLflow is not spoken to any more; none while it answers."""
        self._client: Any = None
        self._experiment_id = ""
        self._run_id = ""
        self._sent: set[str] = set()

    def start(self, tags: Mapping[str, str]) -> None:
        """Make or find the parent run; creates the database before any worker starts."""
        self._attempt(lambda: self._start(tags))

    def log_trial(self, result: TrialResult) -> None:
        """Make a trial's child run, if it is not there yet."""
        if result.trial.name not in self._sent:
            self._attempt(lambda: self._log_trial(result))

    def finish(self) -> None:
        """Log the study's results, its files and figures, and end the parent run."""
        self._attempt(self._finish)

    def fail(self) -> None:
        """End the parent run as failed: the study has not got to its end."""
        self._attempt(lambda: self._client.set_terminated(self._run_id, status="FAILED"))

    def _attempt(self, send: Callable[[], None]) -> None:
        if self.failure is not None:
            return
        try:
            send()
        except Exception as error:  # noqa: BLE001 - whatever MLflow raises, the study goes on
            self.failure = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            logger.warning(
                "MLflow at %s does not answer (%s); the study goes on without it",
                self.uri,
                self.failure,
            )

    def _start(self, tags: Mapping[str, str]) -> None:
        self._client = create_store(self.uri)
        found = self._client.get_experiment_by_name(self.experiment)
        if found is not None:
            self._experiment_id = found.experiment_id
        else:
            self._experiment_id = self._client.create_experiment(
                self.experiment, artifact_location=self._artifact_location()
            )
        study = self.folder.identity
        runs = self._search(f"tags.`{STUDY_TAG}` = '{study}'")
        parents = [run for run in runs if TRIAL_TAG not in run.data.tags]
        if parents:
            self._run_id = parents[0].info.run_id
            self._client.update_run(self._run_id, status="RUNNING")
        else:
            run = self._client.create_run(
                self._experiment_id, run_name=self.name, tags={STUDY_TAG: study}
            )
            self._run_id = run.info.run_id
        from mlflow.entities import Param, RunTag

        known = self._client.get_run(self._run_id).data.params
        params = [Param(key, str(value)) for key, value in self.params.items() if key not in known]
        self._client.log_batch(
            self._run_id, params=params, tags=[RunTag(key, text) for key, text in tags.items()]
        )
        for run in runs:
            name = run.data.tags.get(TRIAL_TAG)
            if name is None:
                continue
            if run.info.status in ("FINISHED", "FAILED"):
                self._sent.add(name)
            else:
                # Cut off while it was being written: it is written again, whole.
                self._client.delete_run(run.info.run_id)

    def _artifact_location(self) -> str | None:
        """Return where artifacts go: beside a SQLite database, or where the server says."""
        if not self.uri.startswith("sqlite:///"):
            return None
        database = Path(self.uri.removeprefix("sqlite:///")).resolve()
        return (database.parent / "mlartifacts").as_uri()

    def _search(self, query: str) -> list[Any]:
        runs: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id], query, max_results=1000, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def _log_trial(self, result: TrialResult) -> None:
        from mlflow.entities import Metric, Param

        trial = result.trial
        facts = {
            "selector": trial.selector,
            "fraction": trial.fraction,
            "trial": trial.trial,
            "seed": trial.seed,
            "n_train": result.n_train,
            "subset": trial.subset,
        }
        now = int(time.time() * 1000)
        tags = {
            STUDY_TAG: self.folder.identity,
            TRIAL_TAG: trial.name,
            PARENT_TAG: self._run_id,
            NAME_TAG: trial.name,
            **{key: str(value) for key, value in facts.items()},
        }
        if result.reason:
            tags["reason"] = result.reason
        started = now - int(1000 * (result.train_seconds or 0))
        run = self._client.create_run(self._experiment_id, start_time=started, tags=tags)
        metrics = [
            Metric(name, float(point[name]), now, int(point["step"]))
            for point in result.curve
            for name in ("train_loss", "lr", "test_accuracy", "epoch")
            if point[name] is not None
        ]
        if result.train_seconds is not None:
            metrics.append(Metric("train_seconds", result.train_seconds, now, 0))
        params = [Param(key, str(value)) for key, value in facts.items()]
        for first in range(0, max(1, len(metrics)), 1000):
            self._client.log_batch(
                run.info.run_id,
                metrics=metrics[first : first + 1000],
                params=params if first == 0 else [],
            )
        status = "FINISHED" if result.status == "finished" else "FAILED"
        self._client.set_terminated(run.info.run_id, status=status, end_time=now)
        self._sent.add(trial.name)

    def _finish(self) -> None:
        from mlflow.entities import Metric, RunTag

        results = read_json(self.folder / "results.json")
        now = int(time.time() * 1000)
        metrics = {
            "reference/train_seconds": results["reference"]["train_seconds"],
            "trials": max(cell["trials"] for cell in results["cells"]),
        }
        if results["verdict"]["redundant_fraction"] is not None:
            metrics["redundant_fraction"] = results["verdict"]["redundant_fraction"]
        for cell in results["cells"]:
            if cell["mean"] is not None:
                metrics[f"accuracy/{cell['selector']}-{cell['fraction']}"] = cell["mean"] / 100
        sent = [Metric(name, value, now, 0) for name, value in metrics.items()]
        sent += [
            Metric(f"reference/{name}", point[name], now, point["step"])
            for point in results["reference"]["curve"]
            for name in ("train_loss", "lr", "test_accuracy")
            if point[name] is not None
        ]
        for first in range(0, len(sent), 1000):
            self._client.log_batch(self._run_id, metrics=sent[first : first + 1000])
        self._client.log_batch(
            self._run_id,
            tags=[RunTag("mlflow.note.content", results["verdict"]["sentence"])],
        )
        for name in ARTIFACTS:
            self._client.log_artifact(self._run_id, str(self.folder / name))
        for name in ARTIFACT_FOLDERS:
            self._client.log_artifacts(self._run_id, str(self.folder / name), name)
        self._client.set_terminated(self._run_id, status="FINISHED")


def create_store(uri: str) -> Any:
    """Return an MLflow client; a SQLite database that is not there yet is made."""
    for key, value in _CLIENT_SETTINGS.items():
        os.environ.setdefault(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)
    return client


@dataclass(frozen=True)
class Server:
    """MLflow's pages."""

    address: str
    """Page of the experiment."""
    process: subprocess.Popen[bytes] | None
    """The server; none where the store is a server already."""

    def wait(self) -> None:
        """Wait until the server ends."""
        if self.process is not None:
            self.process.wait()


@contextmanager
def serve(uri: str, experiment: str, port: int) -> Iterator[Server]:
    """Open MLflow on a store, reachable from this machine alone, for as long as the context lasts.

    Parameters
    ----------
    uri, experiment
        The store, and the MLflow experiment whose page is wanted.
    port
        Port on 127.0.0.1.

    Raises
    ------
    TrackingError
        There is no such store or experiment, or the port is taken.
    """
    try:
        found = create_store(uri).get_experiment_by_name(experiment)
    except Exception as error:
        raise TrackingError(f"MLflow at {uri} does not answer: {error}") from error
    if found is None:
        raise TrackingError(f"MLflow at {uri} has no experiment {experiment!r}")
    page = f"#/experiments/{found.experiment_id}"
    if uri.startswith(("http:", "https:")):
        yield Server(f"{uri.rstrip('/')}/{page}", None)
        return
    root = f"http://127.0.0.1:{port}"
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise TrackingError(f"port {port} is taken; choose another with --port")
    command = ["mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(f"{root}/health"):
            if process.poll() is not None:
                raise TrackingError(f"MLflow's server ended with exit code {process.returncode}")
            time.sleep(0.2)
        yield Server(f"{root}/{page}", process)
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):
            return True
    except OSError:
        return False

"""MLflow: one parent run a study, one child run a trial. The only module that imports it.

Everything logged is in the run folder as well, so a server that does not answer loses nothing:
`Tracker.upload` sends what is missing, once, whenever the server is back. Runs are found again by
the tags `rayred.study` (the run folder's identity) and `rayred.trial`.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rayred.errors import TrackingError
from rayred.results.trial import TrialResult
from rayred.search.results import Candidate, Found
from rayred.store import RunFolder, read_json, write_json
from rayred.tracking.runs import ChildRun, origin_tags, study_metrics

if TYPE_CHECKING:
    from rayred.training.trained import Trained

logger = logging.getLogger(__name__)

STUDY_TAG = "rayred.study"
TRIAL_TAG = "rayred.trial"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
MODEL_TAG = "rayred.reference_model"
VIEW = "rayred"
VIEW_COLUMNS = (
    "attributes.`Duration`",
    "params.`selector`",
    "params.`fraction`",
    "params.`trial`",
    "params.`n_train`",
    "metrics.`test_accuracy`",
)
"""Columns of the experiment's page, in the names of MLflow's own saved views."""
ARTIFACTS = ("config.yaml", "results.json", "results.parquet", "report.html")
ARTIFACT_FOLDERS = ("figures", "subsets")

# MLflow's own settings: a server that does not answer is given up after seconds, not minutes, and
# its addresses are not printed run by run.
_CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
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
        self.run_id = ""
        """The parent run; empty where MLflow has not answered."""
        self._sent: set[str] = set()

    def start(self, dataset: Mapping[str, str | int]) -> None:
        """Make or find the parent run; creates the database before any worker starts.

        Parameters
        ----------
        dataset
            What tells the data set from others: `rayred.data.Dataset.facts`.
        """
        self._attempt(lambda: self._start(dataset))

    def log_trial(self, result: TrialResult) -> None:
        """Make a trial's child run, if it is not there yet."""
        if result.trial.name not in self._sent:
            self._attempt(lambda: self._log_child(ChildRun.of_trial(result)))

    def log_candidate(self, candidate: Candidate) -> None:
        """Make a candidate's child run, if it is not there yet."""
        if candidate.name not in self._sent:
            self._attempt(lambda: self._log_child(ChildRun.of_candidate(candidate)))

    def log_found(self, found: Found, params: Mapping[str, Any]) -> None:
        """Log what a search has found, and the settings of the study that it decides."""
        self._attempt(lambda: self._log_found(found, params))

    def finish(self, reference: Trained) -> None:
        """Log results, files, figures and the reference model, and end the parent run."""
        self._attempt(lambda: self._finish(reference))

    def fail(self) -> None:
        """End the parent run as failed: the study has not got to its end."""
        self._attempt(lambda: self._client.set_terminated(self.run_id, status="FAILED"))

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

    def _start(self, dataset: Mapping[str, str | int]) -> None:
        self._client = create_store(self.uri)
        self._experiment_id = self._find_experiment()
        study = self.folder.identity
        runs = self._search(f"tags.`{STUDY_TAG}` = '{study}'")
        parents = [run for run in runs if TRIAL_TAG not in run.data.tags]
        if parents:
            run = parents[0]
            self._client.update_run(run.info.run_id, status="RUNNING")
        else:
            tags = {STUDY_TAG: study}
            run = self._client.create_run(self._experiment_id, run_name=self.name, tags=tags)
        self.run_id = run.info.run_id
        from mlflow.entities import Param, RunTag

        facts = {
            "dataset": dataset["name"],
            "dataset.digest": dataset["digest"],
            **origin_tags(self.folder),
        }
        known = run.data.params
        self._client.log_batch(
            self.run_id,
            params=[Param(key, str(text)) for key, text in self.params.items() if key not in known],
            tags=[RunTag(key, str(text)) for key, text in facts.items()],
        )
        self._client.log_inputs(self.run_id, [_dataset_input(dataset)])
        for run in runs:
            name = run.data.tags.get(TRIAL_TAG)
            if name is None:
                continue
            if run.info.status in ("FINISHED", "FAILED", "KILLED"):
                self._sent.add(name)
            else:
                # Cut off while it was being written: it is written again, whole.
                self._client.delete_run(run.info.run_id)

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            location = self._artifact_location()
            try:
                return str(self._client.create_experiment(self.experiment, location))
            except MlflowException:
                # Another study may have been faster.
                found = self._client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        return str(found.experiment_id)

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

    def _log_found(self, found: Found, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param, RunTag

        for candidate in found.candidates:
            if candidate.name not in self._sent:
                self._log_child(ChildRun.of_candidate(candidate))
        known = self._client.get_run(self.run_id).data.params
        self._client.log_batch(
            self.run_id,
            params=[Param(key, str(text)) for key, text in params.items() if key not in known],
            tags=[RunTag("search", found.sentence())],
        )

    def _log_child(self, child: ChildRun) -> None:
        """Make a child run; its facts are params and tags."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        tags = {
            STUDY_TAG: self.folder.identity,
            TRIAL_TAG: child.name,
            PARENT_TAG: self.run_id,
            NAME_TAG: child.name,
            "mlflow.source.name": "rayred",
            **{key: str(value) for key, value in child.facts.items()},
        }
        if child.reason:
            tags["reason"] = child.reason
        started = now - int(1000 * (child.seconds or 0))
        run = self._client.create_run(self._experiment_id, start_time=started, tags=tags)
        metrics = [
            Metric(metric, float(value), now, step)
            for step, values in child.curve
            for metric, value in values.items()
            if value is not None
        ]
        if child.seconds is not None:
            metrics.append(Metric("train_seconds", child.seconds, now, 0))
        params = [Param(key, str(value)) for key, value in child.facts.items()]
        for first in range(0, max(1, len(metrics)), 1000):
            self._client.log_batch(
                run.info.run_id,
                metrics=metrics[first : first + 1000],
                params=params if first == 0 else [],
            )
        self._client.set_terminated(run.info.run_id, status=child.status, end_time=now)
        self._sent.add(child.name)

    def _finish(self, reference: Trained) -> None:
        from mlflow.entities import Metric, RunTag

        sent = [Metric(*point) for point in study_metrics(self.folder, reference)]
        for first in range(0, len(sent), 1000):
            self._client.log_batch(self.run_id, metrics=sent[first : first + 1000])
        sentence = read_json(self.folder / "results.json")["verdict"]["sentence"]
        self._client.log_batch(self.run_id, tags=[RunTag("mlflow.note.content", sentence)])
        for name in ARTIFACTS:
            self._client.log_artifact(self.run_id, str(self.folder / name))
        for name in ARTIFACT_FOLDERS:
            self._client.log_artifacts(self.run_id, str(self.folder / name), name)
        self._client.set_terminated(self.run_id, status="FINISHED")
        if MODEL_TAG not in self._client.get_run(self.run_id).data.tags:
            self._log_reference(reference)

    def _log_reference(self, reference: Trained) -> None:
        """Log the reference model; a store that takes none has all the rest of the study."""
        model_id = ""
        try:
            made = self._client.create_logged_model(
                self._experiment_id, name="reference", source_run_id=self.run_id
            )
            model_id = made.model_id
            self._log_model(reference, model_id)
            self._client.finalize_logged_model(model_id, "READY")
            self._client.set_tag(self.run_id, MODEL_TAG, f"models:/{model_id}")
        except Exception as error:  # noqa: BLE001 - whatever is raised, the study is there
            logger.warning(
                "MLflow has not got the reference model (%s); rayred upload %s tries again",
                error,
                self.folder.path,
            )
            if model_id:
                self._client.delete_logged_model(model_id)

    def _log_model(self, reference: Trained, model_id: str) -> None:
        """Send the reference model: a graph that needs no rayred to be loaded."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlflow.pytorch
            from mlflow.models import ModelSignature
            from mlflow.types import Schema, TensorSpec

            height, width, channels = reference.spec.image_shape
            images = (-1, channels, height, width)
            signature = ModelSignature(
                Schema([TensorSpec(np.dtype(np.uint8), images)]),
                Schema([TensorSpec(np.dtype(np.float32), (-1, reference.spec.classes))]),
            )
            with tempfile.TemporaryDirectory() as folder:
                mlflow.pytorch.save_model(
                    reference.model(),
                    f"{folder}/model",
                    signature=signature,
                    input_example=np.zeros((2, *images[1:]), np.uint8),
                    pip_requirements=["torch", "numpy"],
                    serialization_format="pt2",
                    mlflow_model=mlflow.models.Model(model_id=model_id),
                )
                self._client.log_model_artifacts(model_id, f"{folder}/model")


def _dataset_input(dataset: Mapping[str, str | int]) -> Any:
    """Return the data set as MLflow knows data sets: name, digest and size."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.entities import Dataset, DatasetInput, InputTag

    name, digest = str(dataset["name"]), str(dataset["digest"])
    source = CodeDatasetSource(tags={"rayred.dataset": name})
    rows = {"num_rows": dataset["n_train"], "num_test_rows": dataset["n_test"]}
    profile = json.dumps({**rows, "num_classes": dataset["classes"]})
    return DatasetInput(
        Dataset(name, digest, "code", source.to_json(), profile=profile),
        [InputTag("mlflow.data.context", "training")],
    )


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Keep other processes from making the tables of a SQLite database at the same time."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    database = Path(uri.removeprefix("sqlite:///")).resolve()
    database.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(database.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def create_store(uri: str) -> Any:
    """Return an MLflow client; a SQLite database that is not there yet is made."""
    for key, value in _CLIENT_SETTINGS.items():
        os.environ.setdefault(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with _alone(uri):
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    return client


def start_monitor(uri: str, run_id: str, node: str) -> Any:
    """Begin to log this machine's CPU, memory, disk, network and GPUs to a run; `finish()` ends it.

    Parameters
    ----------
    uri
        Tracking server or database.
    run_id
        Run that is told of ``system/NODE/...``.
    node
        Name of the machine among those of the cluster.
    """
    create_store(uri)
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, node_id=node, resume_logging=True, tracking_uri=uri)
    monitor.start()
    return monitor


def open_view(uri: str, experiment: str) -> str:
    """Return the address of an experiment's page, from the root of MLflow's pages.

    The page shows the columns that one wants: they are kept with the experiment, as a view that
    MLflow's pages can share.

    Raises
    ------
    TrackingError
        There is no such store or experiment.
    """
    from mlflow.exceptions import MlflowException

    try:
        client = create_store(uri)
        found = client.get_experiment_by_name(experiment)
    except Exception as error:
        raise TrackingError(f"MLflow at {uri} does not answer: {error}") from error
    if found is None:
        raise TrackingError(f"MLflow at {uri} has no experiment {experiment!r}")
    number = found.experiment_id
    page = f"#/experiments/{number}/runs"
    columns = json.dumps({"selectedColumns": VIEW_COLUMNS})
    try:
        client.set_experiment_tag(number, f"mlflow.sharedViewState.{VIEW}", columns)
    except MlflowException:
        return page  # a store that may only be read
    return f"{page}?viewStateShareKey={VIEW}&workflowType=machine_learning"

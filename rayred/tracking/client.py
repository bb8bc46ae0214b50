"""MLflow's client: stores, saved views, and data sets and models in MLflow's format."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from rayred.errors import TrackingError

if TYPE_CHECKING:
    from rayred.training import Trained

ARTIFACTS_FOLDER = "mlartifacts"
"""Folder of artifacts, in the same folder as a SQLite database."""
VIEW = "rayred"
VIEW_COLUMNS = (
    "attributes.`Duration`",
    "params.`selector`",
    "params.`fraction`",
    "params.`trial`",
    "params.`n_train`",
    "metrics.`test_accuracy`",
)
"""Columns of the experiment's page, named as in MLflow's saved views."""
# MLflow's environment variables: requests to a server that does not answer fail sooner than by
# default, and the URL of each run is not printed.
_CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Lock a SQLite database, so that only one process at a time creates its tables."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    database = Path(uri.removeprefix("sqlite:///")).resolve()
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_name(f".{database.name}.lock")):
        yield


def create_store(uri: str) -> Any:
    """Return an MLflow client of a server or database; a missing SQLite database is created."""
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
    """Start logging this machine's system metrics, and return the monitor; `finish()` stops it.

    Parameters
    ----------
    uri
        Tracking server or database.
    run_id
        Run to log to; the metrics are named ``system/NODE/...``.
    node
        Name of this machine in the cluster.
    """
    create_store(uri)
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, node_id=node, resume_logging=True, tracking_uri=uri)
    monitor.start()
    return monitor


def open_view(uri: str, experiment: str) -> str:
    """Return the address of an experiment's page, relative to the root of MLflow's pages.

    The page shows the columns of `VIEW_COLUMNS`, which are saved with the experiment as a shared
    view. In a read-only store it shows MLflow's default columns.

    Raises
    ------
    TrackingError
        The store does not answer, or has no such experiment.
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
        return page  # the store is read-only
    return f"{page}?viewStateShareKey={VIEW}&workflowType=machine_learning"


def artifact_location(uri: str) -> str | None:
    """Return the URI of a SQLite database's artifacts; `None` if a server chooses it."""
    if not uri.startswith("sqlite:///"):
        return None
    database = Path(uri.removeprefix("sqlite:///")).resolve()
    return (database.parent / ARTIFACTS_FOLDER).as_uri()


def dataset_input(dataset: Mapping[str, str | int]) -> Any:
    """Return name, digest and sizes of a data set (`Dataset.facts`) as MLflow's DatasetInput."""
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


def log_model(client: Any, model_id: str, reference: Trained) -> None:
    """Upload the reference model, exported so that it can be loaded without rayred."""
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
            client.log_model_artifacts(model_id, f"{folder}/model")

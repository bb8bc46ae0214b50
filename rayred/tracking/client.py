"""MLflow's client: stores, saved views, and data sets in MLflow's format."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Mapping
from typing import Any

from rayred.errors import TrackingError
from rayred.tracking.database import prepare_database
from rayred.tracking.failures import deleted_experiment, explain

VIEW = "rayred"
VIEW_COLUMNS = (
    "metrics.`redundant_percent`",
    "metrics.`accuracy_full`",
    "metrics.`test_accuracy`",
    "params.`dataset`",
    "params.`model`",
    "params.`selector`",
    "params.`fraction`",
    "params.`n_train`",
)
"""Columns of the experiment's page, named as in MLflow's saved views."""
KIND, TRAINING = "mlflow.experimentKind", "custom_model_development"
"""Tag of an experiment, by which its pages are MLflow's for training, not those for chat."""
# MLflow's environment variables: requests to a server that does not answer fail sooner than by
# default, and the URL of each run is not printed.
_CLIENT_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def create_store(uri: str) -> Any:
    """Return an MLflow client of a server or database; a missing SQLite database is created.

    Raises
    ------
    TrackingError
        The database is not one that this MLflow can open.
    """
    for key, value in _CLIENT_SETTINGS.items():
        os.environ.setdefault(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It prints the traceback of an error of a database that it raises as well.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    prepare_database(uri)
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)
    return client


def find_experiment(client: Any, uri: str, name: str) -> str | None:
    """Return the id of an experiment; `None` if there is none of that name.

    Raises
    ------
    TrackingError
        It has been deleted: nothing can be logged to it, and none of its name can be made.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        return None
    number = str(found.experiment_id)
    if found.lifecycle_stage == "deleted":
        raise TrackingError(deleted_experiment(uri, repr(name), number))
    return number


def search_runs(client: Any, experiment_id: str, query: str) -> list[Any]:
    """Return all runs of an experiment that match a query and are not deleted."""
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], query, max_results=1000, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


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
        The store cannot be opened, or does not have the experiment.
    """
    from mlflow.exceptions import MlflowException

    try:
        client = create_store(uri)
        number = find_experiment(client, uri, experiment)
    except Exception as error:
        raise TrackingError(explain(uri, error)) from error
    if number is None:
        raise TrackingError(
            f"MLflow at {uri} has no experiment {experiment!r}; send the run there with 'rayred"
            " upload'"
        )
    page = f"#/experiments/{number}/runs"
    columns = json.dumps({"selectedColumns": VIEW_COLUMNS})
    try:
        client.set_experiment_tag(number, f"mlflow.sharedViewState.{VIEW}", columns)
        if KIND not in client.get_experiment(number).tags:
            client.set_experiment_tag(number, KIND, TRAINING)
    except MlflowException:
        return page  # the store is read-only
    return f"{page}?viewStateShareKey={VIEW}&workflowType=machine_learning"


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

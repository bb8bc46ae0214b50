"""What went wrong with MLflow, and what to do, in one sentence."""

from __future__ import annotations

import re
import shlex

from rayred.errors import TrackingError

_NO_ANSWER = re.compile(r"API request to \S+ failed with exception")
_DAMAGED = re.compile(r"file is not a database|database disk image is malformed")
_FULL = re.compile(r"database or disk is full|No space left on device|Disk quota exceeded")
_READ_ONLY = re.compile(r"attempt to write a readonly database|Read-only file system")
_DELETED = re.compile(r"experiment (\d+) must be in the 'active' state")


def explain(uri: str, error: Exception) -> str:
    """Return one sentence on an error of MLflow, without a full stop.

    Parameters
    ----------
    uri
        Tracking server or database.
    error
        What MLflow, its database's driver or rayred's `tracking` has raised.
    """
    text = str(error).strip()
    first = text.splitlines()[0] if text else repr(error)
    if isinstance(error, TrackingError):
        return first
    if _NO_ANSWER.search(text):
        return f"MLflow at {uri} does not answer ({first})"
    if damage := _DAMAGED.search(text):
        return (
            f"MLflow's database {uri} is damaged ({damage[0]}); move the file away, and a new one"
            " is made"
        )
    if full := _FULL.search(text):
        return f"MLflow at {uri} could not write ({full[0]}); make room"
    if _READ_ONLY.search(text):
        return f"MLflow at {uri} can only be read; choose another store with tracking.uri or --uri"
    if deleted := _DELETED.search(text):
        return deleted_experiment(uri, f"with the id {deleted[1]}", deleted[1])
    return f"MLflow at {uri} did not take it ({first})"


def deleted_experiment(uri: str, name: str, number: str) -> str:
    """Return a sentence on an experiment that is deleted, as MLflow's pages do it: for now."""
    return (
        f"MLflow at {uri} has the experiment {name} among its deleted ones; choose another with"
        " tracking.experiment, or bring it back with:"
        f" MLFLOW_TRACKING_URI={shlex.quote(uri)} mlflow experiments restore -x {number}"
    )

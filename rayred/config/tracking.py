"""Settings of MLflow."""

from __future__ import annotations

from typing import Annotated

from rayred.config.base import RECORD, Settings


class Tracking(Settings):
    """Where MLflow keeps the runs."""

    uri: Annotated[str, RECORD] = "auto"
    """Tracking server or database. auto: MLFLOW_TRACKING_URI if set, else DIR/mlflow.db."""
    experiment: Annotated[str, RECORD] = "rayred"
    """Name of the MLflow experiment that holds the runs."""
    system_metrics: Annotated[bool, RECORD] = False
    """Log use of CPU, memory, disk, network and GPUs; with a database, of this machine only."""

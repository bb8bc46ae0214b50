"""Settings of MLflow."""

from __future__ import annotations

from typing import Annotated

from rayred.config.base import RECORD, Settings


class Tracking(Settings):
    """Where MLflow keeps the runs."""

    uri: Annotated[str, RECORD] = "auto"
    """Tracking server or database. auto: MLFLOW_TRACKING_URI if set, else DIR/mlflow.db."""
    experiment: Annotated[str, RECORD] = "rayred"
    """MLflow experiment that the runs appear under."""
    system_metrics: Annotated[bool, RECORD] = False
    """Log every machine's CPU, memory, disk, network and GPUs; a database: only of this machine."""

"""Settings of MLflow."""

from __future__ import annotations

from rayred.config.base import Settings


class Tracking(Settings):
    """Where MLflow keeps the runs."""

    uri: str = "auto"
    """Tracking server or database. auto: MLFLOW_TRACKING_URI if set, else DIR/mlflow.db."""
    experiment: str = "rayred"
    """MLflow experiment that the runs appear under."""
    system_metrics: bool = False
    """Log every machine's CPU, memory, disk, network and GPUs; a database: only of this machine."""

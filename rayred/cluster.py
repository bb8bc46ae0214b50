"""The Ray cluster that a command works on: connect to it, or start one on this machine."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import ray

from rayred.errors import ConfigError

# Ray's own switches: no second set of result files, no notices about its migrations, and the end
# of a training noticed at once (Ray looks every two seconds by default).
_RAY_SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_V2_ENABLED": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@dataclass(frozen=True)
class Cluster:
    """What the connected cluster has."""

    nodes: int
    cpus: int
    gpus: int

    def threads(self, processes: int, gpu: bool) -> int:
        """Return the CPU threads for each of some processes at a time, or for each GPU."""
        return max(1, self.cpus // max(processes, self.gpus if gpu else 1))

    def uses_gpu(self, device: Literal["auto", "cpu", "cuda"]) -> bool:
        """Return whether trainings run on GPUs, given the setting `resources.device`."""
        if device == "cuda" and not self.gpus:
            raise ConfigError("resources.device: 'cuda': the cluster has no GPU; use auto or cpu")
        return device != "cpu" and self.gpus > 0


@contextmanager
def connect(address: str | None = None) -> Iterator[Cluster]:
    """Connect to a Ray cluster, or start one on this machine, for as long as the context lasts.

    Parameters
    ----------
    address
        ``auto``, ``HOST:PORT``, or none: what RAY_ADDRESS says, else a Ray of its own here.

    Raises
    ------
    ConfigError
        There is no cluster at the address.
    """
    os.environ |= {key: value for key, value in _RAY_SETTINGS.items() if key not in os.environ}
    target = address or os.environ.get("RAY_ADDRESS") or "local"
    if ":" in target and "//" not in target:
        _check_answers(target)
    try:
        ray.init(
            address=target,
            include_dashboard=False if target == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(f"--address {target}: no Ray cluster answers there: {error}") from error
    try:
        total = ray.cluster_resources()
        alive = sum(node["Alive"] for node in ray.nodes())
        yield Cluster(alive, max(1, int(total.get("CPU", 1))), int(total.get("GPU", 0)))
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise at once where nothing listens; Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            return
    except (OSError, ValueError) as error:
        raise ConfigError(f"--address {address}: no Ray cluster answers there: {error}") from error

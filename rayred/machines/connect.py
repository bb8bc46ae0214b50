"""The Ray cluster that a command works on: a connection to it, or a Ray started here."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import ray

from rayred.errors import ConfigError, RayredError

MAX_FAILURES = 3
"""Times that a training is started again after it lost a worker or a node."""

# Ray's own switches: no second set of result files, no notices about its migrations, and the end
# of a training noticed at once (Ray looks every two seconds by default).
_RAY_SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_V2_ENABLED": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

# Of glibc, for the processes that train: memory that is freed is kept. Otherwise it goes back to
# the system after every layer, and is fetched again page by page: measured, half of the speed.
WORKER_SETTINGS = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
}

# Of Ray, while it connects to an address: it asks once, for half a minute, since what answers there
# may be no Ray.
_ASK_ONCE = {"RAY_gcs_server_port_wait_time_s": "1"}

_GPU_TYPE = "accelerator_type:"


@dataclass(frozen=True)
class Cluster:
    """The resources of the connected cluster."""

    node_cpus: tuple[int, ...]
    """CPUs of every node."""
    node_gpus: tuple[int, ...]
    """GPUs of every node."""
    gpu_types: tuple[str, ...] = ()
    """Kinds of GPU there are, as Ray names them."""

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.node_cpus)

    @property
    def cpus(self) -> int:
        """CPUs of all nodes."""
        return sum(self.node_cpus)

    @property
    def gpus(self) -> int:
        """GPUs of all nodes."""
        return sum(self.node_gpus)

    def slots(self, threads: int, gpu: bool, a_gpu: int = 1) -> int:
        """Return how many processes of `threads` CPUs each fit at a time, `a_gpu` of them a GPU."""
        return sum(
            min(cpus // threads, a_gpu * gpus) if gpu else cpus // threads
            for cpus, gpus in zip(self.node_cpus, self.node_gpus, strict=True)
        )

    def threads(self, processes: int, gpu: bool, a_gpu: int = 1) -> int:
        """Return the most CPUs that each of some processes at a time can have on its node."""
        fitting = range(max(self.node_cpus), 1, -1)
        return next((n for n in fitting if self.slots(n, gpu, a_gpu) >= processes), 1)

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
        ``auto``, ``HOST:PORT``, or none: what RAY_ADDRESS says, else a Ray of its own here. A Ray
        that this process is connected to already is used, and left running.

    Raises
    ------
    ConfigError
        There is no cluster at the address.
    RayredError
        No Ray can be started here.
    """
    if ray.is_initialized():
        yield _describe()
        return
    target = address or os.environ.get("RAY_ADDRESS") or "local"
    # A Ray that starts here inherits the environment; one that runs already is sent the settings.
    here = target == "local"
    if ":" in target and "//" not in target:
        _check_answers(target)
    with _environment(_RAY_SETTINGS | (WORKER_SETTINGS if here else _ASK_ONCE)):
        try:
            ray.init(
                address=target,
                include_dashboard=False if here else None,
                runtime_env=None if here else {"env_vars": WORKER_SETTINGS},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            if here:
                raise RayredError(f"Ray does not start on this machine: {error}") from error
            raise ConfigError(
                f"--address {target}: no Ray cluster answers there: {error}"
            ) from error
        try:
            yield _describe()
        finally:
            ray.shutdown()


def share(value: Any) -> ray.ObjectRef[Any]:
    """Put a value into Ray's object store, from which every node fetches it once."""
    return ray.put(value)


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    """Set variables that are not set, and put the environment back at the end."""
    added = settings.keys() - os.environ.keys()
    os.environ.update({name: settings[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _describe() -> Cluster:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Cluster(
        tuple(int(node.get("CPU", 0)) for node in nodes),
        tuple(int(node.get("GPU", 0)) for node in nodes),
        tuple(
            sorted(
                {
                    name.removeprefix(_GPU_TYPE)
                    for node in nodes
                    for name in node
                    if name.startswith(_GPU_TYPE)
                }
            )
        ),
    )


def _check_answers(address: str) -> None:
    """Raise at once where nothing listens; Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            return
    except (OSError, ValueError) as error:
        raise ConfigError(f"--address {address}: no Ray cluster answers there: {error}") from error

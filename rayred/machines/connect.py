"""The Ray cluster that a command works on: a connection to it, or a Ray started here."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil
import ray
from ray._private import services
from ray._private.utils import detect_fate_sharing_support

from rayred.errors import ConfigError, RayredError
from rayred.machines.answering import check_node_of
from rayred.machines.failures import ray_failures, ray_reason
from rayred.machines.watching import servers_watched

logger = logging.getLogger(__name__)

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

LONGEST_FOLDER = 36
"""Bytes of the longest path that leaves room for Ray's: a socket's has 107 at most (unix(7)), of
which ``/ray/session_DATE_TIME_PID/sockets/plasma_store.N`` takes up to 71."""
END_SECONDS = 3
"""How long processes that are told to end may take."""
SHORT_FOLDER = "/tmp/ray"
"""Where Ray puts its files if no variable says otherwise."""

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
    own: bool = True
    """Whether this process has started Ray itself, here: then no nodes will join."""

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
    MachineError
        Ray has failed in a way that the work did not turn into an error of its own.
    RayredError
        No Ray can be started here.
    """
    with ray_failures():
        if ray.is_initialized():
            yield describe_cluster()
            return
        target = address or os.environ.get("RAY_ADDRESS") or "local"
        # A Ray that starts here inherits the environment; one that runs is sent the settings.
        own = WORKER_SETTINGS if target == "local" else _ASK_ONCE
        with _environment(_RAY_SETTINGS | own):
            try:
                with _callers_sigterm(), _own_process_groups(), _nothing_half_started():
                    _init(target)
                with servers_watched():
                    yield describe_cluster()
            finally:
                ray.shutdown()


def _init(target: str) -> None:
    """Connect to a cluster, or start one where the target is ``local``."""
    here = target == "local"
    if not here:
        check_node_of(target)
    # Ray prints what its processes complain of, on standard output; errors are raised anyway.
    ray._private.worker._worker_logs_enabled = False
    try:
        ray.init(
            address=target,
            include_dashboard=False if here else None,
            runtime_env=None if here else {"env_vars": WORKER_SETTINGS},
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=_temporary_folder() if here else None,
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = ray_reason(error)
        if here:
            raise RayredError(f"Ray does not start on this machine: {reason}") from error
        raise ConfigError(f"--address {target}: no Ray cluster answers there: {reason}") from error


@contextmanager
def _callers_sigterm() -> Iterator[None]:
    """Leave SIGTERM to the handler that the caller has set, if any, instead of to Ray's.

    Ray sets one in Python, which ends the process with code 15, and one in C++, which prints the
    stack and aborts the process three seconds later.
    """
    handler = signal.getsignal(signal.SIGTERM)
    is_main = threading.current_thread() is threading.main_thread()
    if not callable(handler) or not is_main:
        yield
        return
    try:
        yield
    except SystemExit as ended:
        if ended.code != signal.SIGTERM:
            raise
        # It came while Ray's handlers were set. They have set an alarm, which would abort.
        signal.alarm(0)
        handler(signal.SIGTERM, None)
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _own_process_groups() -> Iterator[None]:
    """Start Ray's servers where a signal to the process group of this process does not reach them.

    The shell, timeout(1) and a closed terminal signal whole groups. Ray ends a process with code 1
    in the moment in which its raylet is gone: there is no time for a sentence.
    """
    start = services.ConsolePopen
    if detect_fate_sharing_support():  # elsewhere Ray ends them by the group
        services.ConsolePopen = partial(start, process_group=0)
    try:
        yield
    finally:
        services.ConsolePopen = start


@contextmanager
def _nothing_half_started() -> Iterator[None]:
    """End what Ray has started here if it does not get to its start: it would leave agents."""
    others = psutil.Process().children(recursive=True)
    try:
        yield
    except BaseException:
        started = set(psutil.Process().children(recursive=True)) - set(others)
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for process in started:
                with suppress(psutil.NoSuchProcess):
                    end(process)
            _, started = map(set, psutil.wait_procs(started, END_SECONDS))
        raise


def _temporary_folder() -> str | None:
    """Return a folder for Ray's sockets and logs; None where Ray's own choice will do."""
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), None)
    if name is None:
        return None
    chosen = os.environ[name]
    if len(os.fsencode(Path(chosen).absolute())) > LONGEST_FOLDER:
        problem = f"has more than {LONGEST_FOLDER} bytes, too many for the paths of Ray's sockets"
    elif name == "TMPDIR" and not Path(chosen).is_dir():
        problem = "is no folder"
    else:
        return None
    logger.warning("%s: %s %s; Ray uses %s", name, chosen, problem, SHORT_FOLDER)
    return SHORT_FOLDER


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


def describe_cluster() -> Cluster:
    """Return the resources that the connected cluster has now."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    types = {name for node in nodes for name in node if name.startswith(_GPU_TYPE)}
    return Cluster(
        tuple(int(node.get("CPU", 0)) for node in nodes),
        tuple(int(node.get("GPU", 0)) for node in nodes),
        tuple(sorted(name.removeprefix(_GPU_TYPE) for name in types)),
        own=is_own_ray(),
    )


def is_own_ray() -> bool:
    """Return whether this process has started the Ray it is connected to: no node will join."""
    node = ray._private.worker._global_node
    return node is not None and node.is_head()

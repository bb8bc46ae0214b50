"""MLflow's pages on a study's store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rayred.errors import TrackingError
from rayred.tracking.client import open_view

START_SECONDS = 120
END_SECONDS = 10
# A proxy of the environment has no way to this machine's own address.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Server:
    """MLflow's pages."""

    address: str
    """Page of the experiment."""
    process: subprocess.Popen[bytes] | None
    """The server; none where the store is a server already."""

    def wait(self) -> None:
        """Wait until the server ends."""
        if self.process is not None:
            self.process.wait()


@contextmanager
def serve(uri: str, experiment: str, port: int) -> Iterator[Server]:
    """Open MLflow on a store, reachable from this machine alone, for as long as the context lasts.

    Parameters
    ----------
    uri, experiment
        The store, and the MLflow experiment whose page is wanted.
    port
        Port on 127.0.0.1.

    Raises
    ------
    TrackingError
        There is no such store or experiment, or the port is taken.
    """
    page = open_view(uri, experiment)
    if uri.startswith(("http:", "https:")):
        yield Server(f"{uri.rstrip('/')}/{page}", None)
        return
    root = f"http://127.0.0.1:{port}"
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise TrackingError(f"port {port} is taken; choose another with --port")
    command = ["mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1", "--workers", "1"]
    # Ended by SIGTERM as by Ctrl-C, so that the server does not outlive this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Of MLflow's server only the pages are wanted, not its processes for evaluation jobs.
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
    )
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(f"{root}/health"):
            if time.monotonic() > until:
                raise TrackingError(f"MLflow's server does not answer after {START_SECONDS} s")
            if process.poll() is not None:
                raise TrackingError(f"MLflow's server ended with exit code {process.returncode}")
            time.sleep(0.2)
        yield Server(f"{root}/{page}", process)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and all processes that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answers(address: str) -> bool:
    try:
        with _direct.open(address, timeout=2):
            return True
    except OSError:
        return False

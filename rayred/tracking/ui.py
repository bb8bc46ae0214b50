"""A local server for MLflow's pages of a study's store."""

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
# Ignores proxies of the environment, which cannot reach this machine's loopback address.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Server:
    """MLflow's pages, and the process that serves them."""

    address: str
    """URL of the experiment's page."""
    process: subprocess.Popen[bytes] | None
    """The server started for a database; `None` if the store is a server already."""

    def wait(self) -> None:
        """Wait until the server ends."""
        if self.process is not None:
            self.process.wait()


@contextmanager
def serve(uri: str, experiment: str, port: int) -> Iterator[Server]:
    """Serve MLflow's pages of a store on 127.0.0.1 while the context is open.

    No server is started if the store is a server already.

    Parameters
    ----------
    uri, experiment
        Tracking server or database, and the MLflow experiment to show.
    port
        Port on 127.0.0.1.

    Raises
    ------
    TrackingError
        The store does not answer, it has no such experiment, the port is taken, or the server does
        not start.
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
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Do not start MLflow's processes for evaluation jobs.
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
    """End a server and all processes of its group."""
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

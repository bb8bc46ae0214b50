"""Ray's servers on this machine, watched: where one is lost, Ray ends this process silently."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import ray

from rayred.errors import MachineError

SERVERS = ("gcs_server", "raylet")
WATCH_SECONDS = 1
"""Seconds between two looks; Ray ends this process ten seconds or more after the loss."""


@contextmanager
def servers_watched() -> Iterator[None]:
    """Interrupt the work of the main thread when a server that this process has started is lost.

    Only if the caller handles SIGTERM, as the command line does: by that signal the work is
    interrupted. Where the caller got it from others, the servers probably did too.

    Raises
    ------
    MachineError
        A server was lost.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    servers = {one: one.name() for one in psutil.Process().children() if one.name() in SERVERS}
    logs = ray._private.worker._global_node.get_logs_dir_path()
    ended, interrupted = threading.Event(), threading.Event()
    lost: list[str] = []

    def handle(number: int, frame: Any) -> None:
        interrupted.set()
        handler(number, frame)

    def watch() -> None:
        gone: list[str] = []
        while not gone:
            if ended.wait(WATCH_SECONDS):
                return
            gone = [name for server, name in servers.items() if _has_ended(server)]
        # The main thread may be about to learn that all were told to end.
        if not ended.wait(WATCH_SECONDS) and not interrupted.is_set():
            lost.extend(gone)
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, handle)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        if not lost:
            raise
        raise MachineError(
            f"Ray's {lost[0]} on this machine has ended; its log is in {logs}, and the same command"
            " goes on from here"
        ) from None
    finally:
        ended.set()
        signal.signal(signal.SIGTERM, handler)


def _has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True

"""Ray's servers on this machine, watched: where one is lost, Ray ends this process silently."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import ray

from rayred.errors import MachineError
from rayred.interrupts import SIGNALS

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
    ended = threading.Event()
    lost: list[str] = []

    def handle(number: int, frame: Any) -> None:
        if lost:  # sent by the thread below, and no signal that the caller has to know of
            raise KeyboardInterrupt
        handler(number, frame)

    def watch() -> None:
        gone: list[str] = []
        while not gone:
            if ended.wait(WATCH_SECONDS):
                return
            gone = [name for server, name in servers.items() if _has_ended(server)]
        # All may have been told to end, which the main thread learns when its call returns.
        if not ended.wait(WATCH_SECONDS) and not told_to_end():
            lost.extend(gone)
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, handle)
    try:
        with _signals_noted() as told_to_end:
            thread = threading.Thread(target=watch, daemon=True)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()
    except KeyboardInterrupt:
        if not lost:
            raise
        raise MachineError(
            f"Ray's {lost[0]} on this machine has ended; its log is in {logs}, and the same command"
            " goes on from here"
        ) from None
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _signals_noted() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether this process was told to end since it was last called.

    Handlers in Python run only when the call that the main thread is in returns to it.
    """
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def told_to_end() -> bool:
        try:
            noted = os.read(read, 1024)
        except BlockingIOError:  # no signal so far
            return False
        return any(number in noted for number in (signal.SIGINT, *SIGNALS))

    try:
        yield told_to_end
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


def _has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True

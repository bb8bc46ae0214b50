"""The signals that end a command, and work that none of them may cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command as Ctrl-C does: from `docker stop`, a scheduler, a closed terminal."""


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and `SIGNALS` back until the block has ended, and then act on them.

    Only where Python handles them, in the main thread. The block should be short: it cannot be
    ended from outside but by `kill -9`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple[int, Any]] = []
    numbers = (signal.SIGINT, *SIGNALS)
    handlers: dict[int, Any] = {n: h for n in numbers if callable(h := signal.getsignal(n))}

    def hold_back(number: int, frame: Any) -> None:
        received.append((number, frame))

    for one in handlers:
        signal.signal(one, hold_back)
    try:
        yield
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)
        for number, frame in received:
            handlers[number](number, frame)

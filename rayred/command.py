"""A command as a process: its output, the signals that end it, and an exit code for what it raises.

Whatever happens, one sentence says it on standard error, and no traceback is shown.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rayred.errors import RayredError
from rayred.interrupts import SIGNALS
from rayred.traces import reason_of, write_trace

AGAIN_SECONDS = 0.1
"""How long after its interrupt was lost a signal is sent again."""


def run_command(command: Callable[[], int]) -> int:
    """Run a command as this process.

    Returns
    -------
    exit_code
        What the command returns; 1 where it failed, 2 on bad input, 128 + N where signal N ended
        it, be it that of the pipe that its output went to.
    """
    _prepare_output()
    received: list[int] = []
    try:
        with _signals_raised(received):
            try:
                code = command()
            finally:
                _flush()  # what argparse has printed
    except BrokenOutputError:
        return 128 + signal.SIGPIPE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it is said
        if received or isinstance(error, KeyboardInterrupt):
            return _interrupted(received)
        if isinstance(error, RayredError):
            say(f"rayred: {error}")
            return error.exit_code
        say(f"rayred: unexpected {reason_of(error)}; {write_trace(error)}")
        return 1
    # Others turn an interrupt into an error, and who signals all processes ends Ray at the same
    # time: what fails after a signal fails by it.
    return _interrupted(received) if code and received else code


def _interrupted(received: list[int]) -> int:
    say("rayred: interrupted; the same command goes on from here")
    return 128 + (received or [signal.SIGINT])[0]


class BrokenOutputError(Exception):
    """Nothing reads standard output any more."""


def show(text: str) -> None:
    """Print a line of the command's result.

    Raises
    ------
    BrokenOutputError
        Nothing reads it, as after ``| head -1``.
    RayredError
        It cannot be written, for example because the disk is full.
    """
    with _output_errors():
        sys.stdout.write(f"{text}\n")
    _flush()


def say(text: str) -> None:
    """Print a message on standard error, if that can be written to."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _flush() -> None:
    with _output_errors():
        sys.stdout.flush()


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise BrokenOutputError from error
        raise RayredError(f"standard output cannot be written: {error.strerror}") from error


def _discard(stream: TextIO) -> None:
    """Drop what a stream still holds, or Python would try to write it once more at the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _prepare_output() -> None:
    """Open standard streams that are closed, and replace what their encodings do not have."""
    # A file that is opened later would get the number of a stream that is closed, and with it what
    # Ray's and MLflow's processes print.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    # A question mark has one column, so that tables stay tables.
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    # A log line that cannot be written is lost; nothing more can be said of it.
    logging.raiseExceptions = False


@contextmanager
def _signals_raised(received: list[int]) -> Iterator[None]:
    """Raise KeyboardInterrupt at the first of `SIGNALS`, which is put into `received`."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python allows no handlers here
        return

    again: list[threading.Timer] = []

    def handle(number: int, _: Any) -> None:
        received.append(number)
        # Some send it twice, such as timeout(1): the second would cut the end short.
        if len(received) == 1 or again:
            again.clear()
            raise KeyboardInterrupt

    def note(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)
            return
        # Python drops what is raised where an object is being collected: send the signal again.
        number = received[0] if received else signal.SIGINT
        again.append(threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number)))
        again[-1].start()

    # As with nohup(1), what is ignored stays ignored.
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    hook, sys.unraisablehook = sys.unraisablehook, note
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for timer in again:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

"""What Ray raises, as one sentence of rayred's; traces and Ray's own log go to files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ray.exceptions import RayError, RayTaskError
from ray.train import ControllerError, TrainingFailedError, WorkerGroupError
from ray.tune import TuneError

from rayred.errors import MachineError, RayredError
from rayred.traces import reason_of, write_trace

LOGS = "logs"
"""Folder within the run folder with traces and Ray's log."""
RAY_LOG = "ray.log"
"""File in it: what Ray logs while it works on the study."""

_OF_RAY = (RayError, TrainingFailedError, TuneError)


@contextmanager
def ray_failures(folder: Path | None = None) -> Iterator[None]:
    """Turn errors of Ray into a `MachineError` that names a file with the whole trace.

    An error of rayred's own that was raised on another process is raised here as it is.

    Parameters
    ----------
    folder
        Folder for traces, and for what Ray logs meanwhile, which would go to standard error
        otherwise. By default traces go to the folder for temporary files.

    Raises
    ------
    MachineError
        A task, an actor, a training or a machine of Ray has failed.
    """
    with _ray_log(folder):
        try:
            yield
        except _OF_RAY as error:
            cause = _cause(error)
            if isinstance(cause, RayredError):
                raise cause from None
            where = write_trace(error, folder)
            raise MachineError(f"Ray: {ray_reason(error)}; {where}") from error
        except RayredError as error:
            # Said in a sentence of rayred's already, which lacks the trace.
            if type(error) is not RayredError or not isinstance(error.__cause__, _OF_RAY):
                raise
            raise MachineError(f"{error}; {write_trace(error, folder)}") from error


def ray_reason(error: BaseException) -> str:
    """Return in one line what Ray says has happened.

    That is the last line of an error raised in a task or an actor, and the first line of others,
    which go on with addresses and advice.
    """
    cause = _cause(error)
    if not isinstance(cause, RayError):
        return reason_of(cause)
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    raised_inside = any(line.lstrip().startswith('File "') for line in lines)
    return lines[-1 if raised_inside else 0].strip()


def _cause(error: BaseException) -> BaseException:
    """Return the error that a task or a worker has raised, however deep Ray has wrapped it."""
    while True:
        inner: object = None
        if isinstance(error, RayTaskError):
            inner = error.cause
        elif isinstance(error, WorkerGroupError):
            inner = next(iter(error.worker_failures.values()), None)
        elif isinstance(error, ControllerError):
            inner = error.controller_failure
        if not isinstance(inner, BaseException):
            return error
        error = inner


@contextmanager
def _ray_log(folder: Path | None) -> Iterator[None]:
    """Write what Ray logs into a file while the context lasts, instead of to standard error."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    log = logging.getLogger("ray")
    handler = logging.FileHandler(folder / RAY_LOG, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = log.handlers
    log.handlers = [handler]
    try:
        yield
    finally:
        log.handlers = before
        handler.close()
        with suppress(OSError):
            folder.rmdir()  # if nothing was written

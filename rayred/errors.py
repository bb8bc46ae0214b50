"""The exceptions that rayred raises for its users, and the exit code of each.

>>> did_you_mean("semnatic", ["semantic", "random"])
" did you mean 'semantic'?"
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RayredError(Exception):
    """Base of all errors that one message explains; the command line shows it and no traceback."""

    exit_code = 1
    """Exit code of the command line: 1 failed while running, 2 bad input."""


class ConfigError(RayredError):
    """An experiment file, a value of `--set` or an argument that cannot be used."""

    exit_code = 2


class DataError(RayredError):
    """A data set that is missing, incomplete or cannot be decoded."""

    exit_code = 2


class NoSplitError(DataError):
    """A data set that lacks the split that was asked for, and is usable without it."""


class RunFolderError(RayredError):
    """A run folder that cannot be written, belongs to another experiment, or is in use."""

    exit_code = 2


class FolderClosedError(RunFolderError):
    """A run folder that cannot be written now: another rayred is at work in it, or read-only."""


class PlaceError(RayredError):
    """A bucket or another place at a URL that cannot be opened, read or written."""


class TrainingError(RayredError):
    """A training that failed, for example because its loss is not finite."""


class MachineError(RayredError):
    """A process or a machine of the Ray cluster that failed; the message names its trace."""


class TrackingError(RayredError):
    """The MLflow store of the settings cannot be opened."""


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return a hint to append to an error message about an unknown name.

    Parameters
    ----------
    word
        The unknown name.
    allowed
        The names that exist.

    Returns
    -------
    hint
        ``" did you mean 'NAME'?"`` with the most similar name, or ``""`` if none is similar.
    """
    near = get_close_matches(str(word), list(allowed), n=1, cutoff=0.6)
    return f" did you mean {near[0]!r}?" if near else ""

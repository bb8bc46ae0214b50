"""The exceptions that rayred raises on purpose, and the exit code each one ends with."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RayredError(Exception):
    """Something that rayred can explain in one message; ends the command with `exit_code`."""

    exit_code = 1


class ConfigError(RayredError):
    """An experiment file, `--set` or argument that cannot be used as given."""

    exit_code = 2


class DataError(RayredError):
    """A data set that is missing, incomplete or undecodable."""

    exit_code = 2


class RunFolderError(RayredError):
    """A run folder that cannot be written, belongs to another config, or is in use."""

    exit_code = 2


class TrainingError(RayredError):
    """A training that failed by itself, for example by a loss that is not finite."""


class TrackingError(RayredError):
    """MLflow cannot be opened where it was asked for."""


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return ``" did you mean 'NAME'?"`` for the nearest allowed name, or an empty string."""
    near = get_close_matches(str(word), list(allowed), n=1, cutoff=0.6)
    return f" did you mean {near[0]!r}?" if near else ""

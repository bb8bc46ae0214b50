"""Stages: how an outcome is saved to files and loaded again, and the outcome as it was made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

M = TypeVar("M")
T = TypeVar("T")


@dataclass(frozen=True)
class Stage(Generic[M, T]):
    """A stage that leaves files: how its outcome (M) is saved, and loaded again (T)."""

    name: str
    save: Callable[[Path, M], None]
    """Write the outcome into a folder that is empty."""
    load: Callable[[Path], T]
    """Read it from that folder; where another version has written it, this may raise ValueError,
    TypeError or KeyError."""
    shown: bool = True
    """Whether the files have views at the top of the run folder."""


@dataclass(frozen=True)
class Made(Generic[T]):
    """The outcome of a stage."""

    value: T
    key: str
    """Key that it was made under."""
    digest: str
    """Digest of its content."""
    environment: str = ""
    """Key of the environment that it was made in."""


def path_stage(
    name: str, file: str, save: Callable[[Path, M], None], load: Callable[[Path], T]
) -> Stage[M, T]:
    """Return a stage that leaves one file, or one folder."""

    def save_within(folder: Path, outcome: M) -> None:
        save(folder / file, outcome)

    def load_within(folder: Path) -> T:
        return load(folder / file)

    return Stage(name, save_within, load_within)


def json_stage(name: str, file: str, *, shown: bool = True) -> Stage[Mapping[str, Any], Any]:
    """Return a stage whose outcome is a mapping, kept as JSON."""

    def save(folder: Path, content: Mapping[str, Any]) -> None:
        (folder / file).write_text(json.dumps(content, indent=1) + "\n")

    def load(folder: Path) -> Any:
        return json.loads((folder / file).read_text())

    return Stage(name, save, load, shown)


ENVIRONMENT = json_stage("environment", "environment.json")
"""With what entries are made, under keys of its content."""

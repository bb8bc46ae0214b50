"""The manifest: what makes a folder rayred's, what rayred has put there, and what is current.

It is one small file, replaced as a whole: all that changes what a folder shows is one write.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from rayred.errors import RunFolderError
from rayred.files import write_json

MANIFEST = "rayred.json"
LOCK = ".rayred.lock"
"""File beside it, which the process that writes the folder has locked."""
FORMAT = 2
"""Version of the folder's layout."""


@dataclass(frozen=True)
class Study:
    """What a folder has of one study."""

    parts: Mapping[str, str] = field(default_factory=dict)
    """Key of each entry by stage, also of those that are still to be made."""
    finished: bool = False
    """Whether it has all of its parts."""
    since: int = 0
    """Generation of the oldest entries that it uses: raised when it is started over."""
    starting_over: bool = False
    """Whether it was started over, and not finished since."""
    tracked: tuple[str, ...] = ()
    """MLflow's store and experiment that have all of it; empty if none has."""


@dataclass(frozen=True)
class Manifest:
    """What a folder is and holds."""

    folder: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Name of the folder that no other has, also after it was moved."""
    owns: tuple[str, ...] = ()
    """Names at the top of the folder that rayred has put there."""
    shown: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """SHA-256 of each view by its path; of one that is being replaced, the old and the new."""
    study: str = ""
    """Key of the current study; empty before the first."""
    studies: Mapping[str, Study] = field(default_factory=dict)
    """All studies by key."""
    generation: int = 0
    """How often a study has been started over in this folder."""
    tracking: str = ""
    """What `tracking.uri: auto` stands for in this folder: ``here``, or an address."""

    @property
    def current(self) -> Study:
        """The current study."""
        return self.studies.get(self.study, Study())

    @property
    def identity(self) -> str:
        """Name of the current study that no study in any other folder has."""
        since = self.current.since
        return f"{self.folder}-{self.study}" + (f"-{since}" if since else "")

    def changed(self, **changes: Any) -> Self:
        """Return the manifest with some fields replaced."""
        return replace(self, **changes)

    def with_study(self, **changes: Any) -> Self:
        """Return the manifest with some fields of the current study replaced."""
        studies = {**self.studies, self.study: replace(self.current, **changes)}
        return self.changed(studies=studies)

    def owning(self, name: str) -> Self:
        """Return the manifest with the first part of a path among what rayred has put there."""
        return self.changed(owns=tuple(sorted({*self.owns, Path(name).parts[0]})))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return a folder's manifest.

        Raises
        ------
        RunFolderError
            There is none that can be read, or it is one of another version.
        """
        path = folder / MANIFEST
        try:
            stored = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise RunFolderError(f"{folder}: no run folder (it has no {MANIFEST})") from error
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{path}: the manifest cannot be read: {error}") from error
        if not isinstance(stored, dict) or stored.pop("format", None) != FORMAT:
            raise RunFolderError(
                f"{folder}: written by another version of rayred; choose another --out"
            )
        try:
            shown = {path: tuple(digests) for path, digests in stored["shown"].items()}
            studies = {
                key: Study(**{**study, "tracked": tuple(study["tracked"])})
                for key, study in stored["studies"].items()
            }
            owns = tuple(stored["owns"])
            return cls(**{**stored, "owns": owns, "shown": shown, "studies": studies})
        except (AttributeError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path}: the manifest is damaged: {error}") from error

    def write(self, folder: Path) -> None:
        """Replace a folder's manifest."""
        write_json(folder / MANIFEST, {"format": FORMAT, **asdict(self)})

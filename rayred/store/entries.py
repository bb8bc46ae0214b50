"""Entries: one folder for each outcome that was made, written whole, its record last.

An entry is ``made/STAGE-KEY/``. It appears by one rename when all of its files and its record are
on the disk, and is not changed afterwards. The record has the size and digest of every file: an
entry of which a file was cut, edited or removed is not whole, and is made again.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from rayred import keys
from rayred.files import (
    TEMPORARY,
    digest_of_file,
    read_json,
    remove,
    sync,
    temporary_beside,
    write_json,
)

MADE = "made"
"""Folder within the run folder with all entries."""
RECORD = "record.json"
REPLACED = re.compile(r".+-others-[0-9a-f]{32}")
"""Names of folders of entries that were replaced: to be emptied of what was theirs."""


@dataclass(frozen=True)
class FileRecord:
    """A file of an entry, as it was written."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Origin:
    """Where and when an entry was made."""

    environment: str
    """Key of the environment's entry; empty for what no computation decides."""
    generation: int
    """How often the folder had been started over before."""
    seconds: float = 0.0
    """How long it took."""
    time: str = ""
    """When it was finished, in UTC, as in ISO 8601."""


@dataclass(frozen=True)
class Entry:
    """The outcome of a stage as files."""

    folder: Path
    stage: str
    key: str
    shown: bool
    """Whether its files have views at the top of the run folder."""
    files: Mapping[str, FileRecord]
    """By path within the folder."""
    origin: Origin

    @property
    def digest(self) -> str:
        """Digest of the contents of all files."""
        return keys.digest("entry", 1, {name: file.sha256 for name, file in self.files.items()})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the entry in a folder; None if it has no record that can be read."""
        return cls.of_record(folder, read_json(folder / RECORD))

    @classmethod
    def of_record(cls, folder: Path, record: Mapping[str, Any]) -> Self | None:
        """Return the entry that a record describes; None if it is none of this version."""
        try:
            files = {name: FileRecord(**file) for name, file in record["files"].items()}
            origin = Origin(**record["origin"])
            return cls(folder, record["stage"], record["key"], record["shown"], files, origin)
        except (AttributeError, KeyError, TypeError):
            return None

    def damage(self) -> str:
        """Return what is wrong with a file of the entry; an empty text if it is whole."""
        for name, file in self.files.items():
            path = self.folder / name
            try:
                size = path.stat().st_size
                if size != file.bytes:
                    return f"{path} has {size:,} bytes instead of {file.bytes:,}"
                if digest_of_file(path) != file.sha256:
                    return f"{path} was changed after it was made"
            except FileNotFoundError:
                return f"{path} was removed"
            except OSError as error:
                return f"{path} cannot be read ({error.strerror})"
        return ""

    def remove(self) -> None:
        """Remove the entry's own files, and its folders where nothing else is in them."""
        for name in (*self.files, RECORD):  # the record last: it alone says what else is to go
            path = self.folder / name
            if path.is_symlink() or path.is_file():
                path.unlink()
        for folder, _, _ in os.walk(self.folder, topdown=False):
            if not any(os.scandir(folder)):
                Path(folder).rmdir()


def write_entry(
    made: Path, stage: str, key: str, write: Callable[[Path], None], *, shown: bool, origin: Origin
) -> Entry:
    """Write an entry, in the place of one of the same name if there is one.

    Parameters
    ----------
    made
        The folder of all entries.
    stage, key
        Name the entry.
    write
        Writes its files into the folder that it is given.
    shown
        Whether the files have views.
    origin
        Where it was made; the time is added.
    """
    final = made / f"{stage}-{key}"
    unfinished = temporary_beside(final)
    unfinished.mkdir(parents=True)
    try:
        write(unfinished)
        files = {}
        for path in sorted(path for path in unfinished.rglob("*") if path.is_file()):
            sync(path)
            path.chmod(path.stat().st_mode & 0o555)  # read-only: a view is the same file
            name = path.relative_to(unfinished).as_posix()
            files[name] = FileRecord(path.stat().st_size, digest_of_file(path))
        for folder in [path for path in unfinished.rglob("*") if path.is_dir()]:
            sync(folder)
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = {
            "stage": stage,
            "key": key,
            "shown": shown,
            "files": {name: asdict(file) for name, file in files.items()},
            "origin": {**asdict(origin), "time": time},
        }
        write_json(unfinished / RECORD, record)
        _put(unfinished, final)
    except BaseException:
        remove(unfinished)
        raise
    entry = Entry.read(final)
    assert entry is not None
    return entry


def recover(made: Path) -> None:
    """Finish or remove what a process that was killed left half-way.

    What is complete but for its name gets it, unless there is an entry of this name.
    """
    left = [Entry.read(path) for path in (*_unfinished(made), *_replaced(made))]
    complete = [entry for entry in left if entry is not None and not entry.damage()]
    for entry in sorted(complete, key=lambda one: (one.origin.generation, one.origin.time))[::-1]:
        final = made / f"{entry.stage}-{entry.key}"
        if not os.path.lexists(final):
            entry.folder.rename(final)
    for path in _unfinished(made):
        remove(path)
    for path in _replaced(made):
        _remove_replaced(path)


def all_entries(made: Path, prefix: str = "") -> Iterator[Entry]:
    """Yield all entries whose stage's name begins with a prefix."""
    for folder in sorted(made.glob(f"{prefix}*")):
        entry = None if folder.name.startswith(".") else Entry.read(folder)
        if entry is not None and folder.name == f"{entry.stage}-{entry.key}":
            yield entry


def _put(unfinished: Path, final: Path) -> None:
    """Give a complete folder its name; what had the name is removed afterwards."""
    replaced = final.with_name(f"{final.name}-others-{uuid.uuid4().hex}")
    if os.path.lexists(final):
        final.rename(replaced)
    unfinished.rename(final)
    sync(final.parent)
    _remove_replaced(replaced)


def _remove_replaced(replaced: Path) -> None:
    """Remove an entry that was replaced; what else someone has put into its folder stays there.

    Its record may be damaged: its files have the names of those that replace them.
    """
    final = replaced.with_name(replaced.name.rpartition("-others-")[0])
    for entry in (Entry.read(replaced), Entry.read(final)):
        if entry is not None:
            replace(entry, folder=replaced).remove()


def _unfinished(made: Path) -> list[Path]:
    return [path for path in made.glob(".*") if TEMPORARY.fullmatch(path.name)]


def _replaced(made: Path) -> list[Path]:
    return [path for path in made.glob("*-others-*") if REPLACED.fullmatch(path.name)]

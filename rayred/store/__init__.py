"""The run folder as a store: what a study has made so far, under keys.

A killed run goes on where it stopped: every stage leaves one file or folder and, last, a record of
the key that it was made under. The manifest makes a folder rayred's, and lists what rayred has put
there: nothing else is ever removed.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from filelock import FileLock, Timeout

from rayred.errors import RunFolderError
from rayred.files import read_json, remove, remove_unfinished, replacing, write_json

M = TypeVar("M")
T = TypeVar("T")
logger = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"
MANIFEST = "rayred.json"
FORMAT = 1
"""Version of the folder's layout."""
LOCK = ".lock"
STAGES = "stages"
"""Folder with the record of every stage."""


@dataclass(frozen=True)
class Stage(Generic[M, T]):
    """A stage that leaves a file or folder: how its outcome (M) is saved, and loaded again (T)."""

    name: str
    file: str
    """File or folder within the run folder."""
    save: Callable[[Path, M], None]
    load: Callable[[Path], T]


@dataclass(frozen=True)
class Made(Generic[T]):
    """The outcome of a stage, and the key that it was made under."""

    value: T
    key: str


@dataclass(frozen=True)
class Store:
    """A folder that holds one study."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        """Return the path of something to read."""
        return self.path / name

    def place(self, name: str) -> Path:
        """Return the path of something to write, and list its first part in the manifest."""
        manifest = self._manifest()
        first = Path(name).parts[0]
        if first not in manifest["made"]:
            self._write({**manifest, "made": sorted([*manifest["made"], first])})
        return self.path / name

    @property
    def identity(self) -> str:
        """Name of the study in this folder that no study in any other folder has."""
        manifest = self._manifest()
        return f"{manifest['folder']}-{manifest['study']}"

    def begin(self, study: str) -> None:
        """Begin the study of a key, or go on with it."""
        self._write({**self._manifest(), "study": study})

    def run(self, stage: Stage[M, T], key: str, make: Callable[[], M]) -> Made[T]:
        """Return a stage's outcome as loaded from its file, made now if its key is another."""
        record = self.place(f"{STAGES}/{stage.name}.json")
        target = self.place(stage.file)
        if target.exists() and read_json(record).get("key") == key:
            logger.info("%s: already done", stage.name)
            return Made(stage.load(target), key)
        started = time.perf_counter()
        with replacing(target) as temporary:
            stage.save(temporary, make())
        seconds = round(time.perf_counter() - started, 2)
        write_json(record, {"key": key, "seconds": seconds})
        logger.info("%s: done in %.1f s", stage.name, seconds)
        return Made(stage.load(target), key)

    def keep(self, folder: str, name: str, key: str, content: Mapping[str, Any]) -> None:
        """Write one of many small results under its key: ``FOLDER/NAME.KEY.json``."""
        write_json(self.place(folder) / f"{name}.{key}.json", content)

    def kept(self, folder: str, name: str, key: str) -> dict[str, Any] | None:
        """Return what `keep` has written under a name and key; None if it has not."""
        return read_json(self / folder / f"{name}.{key}.json") or None

    def all_kept(self, folder: str) -> dict[str, dict[str, Any]]:
        """Return all that `keep` has written into a folder, by key."""
        paths = sorted((self / folder).glob("[!.]*.json"))
        return {path.name.split(".")[-2]: read_json(path) for path in paths}

    def remove(self, name: str) -> None:
        """Remove a file or folder that rayred has put there, if it still is."""
        if name in self._manifest()["made"]:
            remove(self / name)

    def _manifest(self) -> dict[str, Any]:
        """Return the manifest.

        Raises
        ------
        RunFolderError
            There is none that can be read, or it is one of another version.
        """
        path = self / MANIFEST
        try:
            manifest = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise RunFolderError(f"{path}: the manifest cannot be read: {error}") from error
        if manifest.get("format") != FORMAT:
            raise RunFolderError(
                f"{self.path}: written by another version of rayred; choose another --out"
            )
        made: dict[str, Any] = manifest
        return made

    def _write(self, manifest: dict[str, Any]) -> None:
        write_json(self / MANIFEST, manifest)


@contextmanager
def open_store(
    path: Path,
    config: str,
    changes: Callable[[], Sequence[str]],
    *,
    fresh: bool = False,
    update: bool = False,
) -> Iterator[Store]:
    """Open or make the run folder of a study, for this process alone.

    Parameters
    ----------
    path
        The folder.
    config
        The experiment as YAML, all defaults written out.
    changes
        Returns what makes the study another than the one in the folder.
    fresh
        Remove what an earlier run has left there.
    update
        Go on although there are changes: only what depends on them is made again.

    Raises
    ------
    RunFolderError
        The folder cannot be written, holds something else or another study, or is in use.
    """
    lock = FileLock(path / LOCK, timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise RunFolderError(f"{path}: another rayred is at work in this run folder") from error
    except OSError as error:
        raise RunFolderError(f"{path}: cannot write the run folder: {error.strerror}") from error
    try:
        check_store(path, changes, fresh=fresh, update=update)
        store = Store(path.resolve())
        _claim(store, config, fresh)
        yield store
    finally:
        lock.release()


def check_store(
    path: Path, changes: Callable[[], Sequence[str]], *, fresh: bool = False, update: bool = False
) -> None:
    """Raise what `open_store` would because of what a folder holds; nothing is written.

    Raises
    ------
    RunFolderError
        The folder holds something else or another study.
    """
    try:
        held = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read the run folder: {error.strerror}") from error
    if MANIFEST not in held:
        foreign = [name for name in held if not name.startswith(".")]
        if foreign:
            raise RunFolderError(
                f"{path}: not empty and no run folder (it holds {min(foreign)!r}); choose another"
                " --out"
            )
    elif not (fresh or update):
        different = changes()
        if different:
            raise RunFolderError(
                f"{path}: holds a run of another config: {'; '.join(different)}. Choose another"
                " --out, start over with --fresh, or make again only what depends on the change"
                " with --update"
            )


def _claim(store: Store, config: str, fresh: bool) -> None:
    """Make the folder that of the study in `config`."""
    if not (store / MANIFEST).exists():
        # The manifest comes first: a folder without one is no run folder, whatever it holds.
        store._write({"format": FORMAT, "folder": uuid.uuid4().hex, "study": "", "made": []})
    made = store._manifest()["made"]
    if fresh:
        for name in made:
            remove(store / name)
        store._write({"format": FORMAT, "folder": uuid.uuid4().hex, "study": "", "made": []})
    remove_unfinished(store.path)
    for name in made:
        if (store / name).is_dir():
            remove_unfinished(store / name)
    with replacing(store.place(CONFIG_FILE)) as temporary:
        temporary.write_text(config)

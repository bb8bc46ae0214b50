"""The run folder of a study: entries by stage and key, their views, and a lock."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rayred import keys
from rayred.errors import RayredError, RunFolderError
from rayred.files import digest_of_file, remove
from rayred.store.bucket import Bucket
from rayred.store.entries import MADE, Entry, Origin, all_entries, write_entry
from rayred.store.manifest import MANIFEST, Manifest
from rayred.store.stage import ENVIRONMENT, Made, Stage
from rayred.store.views import View, hide_views, show_views, views_of

M = TypeVar("M")
T = TypeVar("T")
logger = logging.getLogger(__name__)


CHECKPOINTS = "ray"
"""Folder of checkpoints, unless the setting `storage` names another place."""


class Store:
    """A folder that holds a study, and what others have left that were there before."""

    def __init__(
        self,
        path: Path,
        environment: Mapping[str, Any] | None = None,
        bucket: Bucket | None = None,
    ) -> None:
        """Take a folder that has a manifest.

        Parameters
        ----------
        path
            The folder.
        environment
            With what entries are made; it is kept beside them.
        bucket
            The run folder that it is the working copy of; by default what the copy itself names.

        Raises
        ------
        RunFolderError
            The folder has no manifest that can be read.
        """
        self.path = path.resolve()
        self.manifest = Manifest.read(self.path)
        self.bucket = bucket or Bucket.of(self.path)
        self._environment = environment
        self._since = 0
        """Generation of the oldest entries that are used."""

    def __truediv__(self, name: str) -> Path:
        """Return the path of something at the top of the folder."""
        return self.path / name

    @property
    def name(self) -> str:
        """The run folder as people know it: its path, or its URL."""
        return str(self.path) if self.bucket is None else self.bucket.name

    @property
    def made(self) -> Path:
        """The folder of all entries."""
        return self.path / MADE

    @property
    def identity(self) -> str:
        """Name of the study in this folder that no study in any other folder has."""
        return self.manifest.identity

    @property
    def parts(self) -> Mapping[str, str]:
        """Keys of the entries of the current study, by stage."""
        return self.manifest.current.parts

    def find(self, stage: str, key: str) -> Entry | None:
        """Return an entry; None if it was not made, or is not whole any more, which is said."""
        entry = self._entry(stage, key)
        if entry is None or entry.origin.generation < self._since:
            return None
        damage = entry.damage()
        if damage and self.bucket is not None and entry.folder.name in self.bucket.entries():
            remove(entry.folder)  # of the working copy alone
            entry = self._fetch(entry.folder.name)
            damage = entry.damage() if entry is not None else damage
        if damage:
            logger.warning("%s: not used", damage)
            return None
        return entry

    def get(self, stage: Stage[M, T], key: str) -> Made[T] | None:
        """Return the outcome of a stage under a key; None where `find` finds none."""
        entry = self.find(stage.name, key)
        if entry is None:
            return None
        try:
            return Made(stage.load(entry.folder), key, entry.digest, entry.origin.environment)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("%s: not of this version (%s): not used", entry.folder, error)
            return None

    def current(self, stage: Stage[M, T]) -> Made[T] | None:
        """Return the outcome of a stage of the current study; None if it is not there."""
        key = self.parts.get(stage.name)
        return None if key is None else self.get(stage, key)

    def has_whole(self, parts: Mapping[str, str]) -> bool:
        """Return whether entries of all stages and keys are there, whole."""
        entries = [self._entry(stage, key) for stage, key in parts.items()]
        return all(entry is not None and not entry.damage() for entry in entries)

    def digests(self, parts: Mapping[str, str]) -> dict[str, str]:
        """Return the digests of the contents of some entries by stage, as their records say."""
        entries = {stage: self._entry(stage, key) for stage, key in parts.items()}
        return {stage: entry.digest for stage, entry in entries.items() if entry is not None}

    def every(self, prefix: str) -> list[Entry]:
        """Return the whole entries of all stages whose names begin with a prefix."""
        if self.bucket is not None:
            for name in self.bucket.entries(prefix):
                self._fetch(name)
        entries = all_entries(self.made, prefix)
        return [one for one in entries if one.origin.generation >= self._since and not one.damage()]

    def entries(self) -> list[Entry]:
        """Return all entries, whole or not, also such as are in the bucket alone."""
        entries = list(all_entries(self.made))
        if self.bucket is not None:
            here = {entry.folder.name for entry in entries}
            for name in sorted(self.bucket.entries() - here):
                entry = self.bucket.read_entry(name, self.made)
                entries += [entry] if entry is not None else []
        return entries

    def put(self, stage: Stage[M, T], key: str, outcome: M, seconds: float = 0.0) -> None:
        """Make the entry of an outcome, and a part of the current study of it."""
        self._keep_environment()
        self._write_entry(stage, key, outcome, seconds)
        self.take({stage.name: key})
        if stage.shown:
            self.show()

    def keep(self, stage: Stage[M, T], key: str, make: Callable[[], M]) -> None:
        """Make an outcome that costs little, if it is not there, a part of the current study."""
        if self.find(stage.name, key) is None:
            self.put(stage, key, make())
        else:
            self.take({stage.name: key})
            self.show()

    def run(self, stage: Stage[M, T], key: str, make: Callable[[], M]) -> Made[T]:
        """Return a stage's outcome as loaded from its files, made now if there is none."""
        found = self.get(stage, key)
        if found is not None:
            logger.info("%s: already done", stage.name)
            self.take({stage.name: key})
            self.show()
            return found
        started = time.perf_counter()
        outcome = make()
        seconds = time.perf_counter() - started
        self.put(stage, key, outcome, seconds)
        logger.info("%s: done in %.1f s", stage.name, seconds)
        made = self.get(stage, key)
        if made is None:
            raise RayredError(f"{self.path}: {stage.name} was made, and cannot be read again")
        return made

    def take(self, parts: Mapping[str, str], *, instead_of: str | None = None) -> None:
        """Make entries parts of the current study: also such as are still to come.

        If that changes it, it is not finished any more, and MLflow does not have all of it.

        Parameters
        ----------
        parts
            Keys by stage.
        instead_of
            Prefix of stages of which there are no other parts any more.
        """
        kept = {
            stage: key
            for stage, key in self.parts.items()
            if instead_of is None or not stage.startswith(instead_of)
        }
        if {**kept, **parts} != self.parts:
            changed = self.manifest.with_study(parts={**kept, **parts}, finished=False, tracked=())
            self._write(changed)

    def begin(self, study: str, *, fresh: bool = False) -> None:
        """Make the study of a key the current one.

        Parameters
        ----------
        study
            The key.
        fresh
            Use nothing that was made before the study was started over: it is, unless it is the
            current one, was started over before, and is not finished yet.
        """
        manifest = self.manifest.changed(study=study)
        if study not in manifest.studies:
            manifest = manifest.with_study()
        goes_on = study == self.manifest.study and manifest.current.starting_over
        if fresh and not goes_on:
            since = manifest.generation + 1
            manifest = manifest.changed(generation=since)
            manifest = manifest.with_study(
                since=since, starting_over=True, finished=False, tracked=()
            )
        if study != self.manifest.study:
            # First: at no moment are there views of both.
            hide_views(self.path, self._views(manifest.current.parts), self.manifest.shown)
        self._write(manifest)
        self._since = manifest.current.since
        self._keep_environment()
        if self._environment is not None and ENVIRONMENT.name not in self.parts:
            self.take({ENVIRONMENT.name: self._environment_key})
        self.show()

    def finish(self) -> None:
        """Note that the current study has all of its parts."""
        self._write(self.manifest.with_study(finished=True, starting_over=False))

    def track(self, *where: str) -> None:
        """Note in which MLflow store and experiment all of the current study is."""
        self._write(self.manifest.with_study(tracked=where))

    def forget_others(self) -> None:
        """Take all studies but the current one out of the manifest."""
        studies = {self.manifest.study: self.manifest.current}
        self._write(self.manifest.changed(studies=studies))

    def resolve_tracking(self, uri: str) -> None:
        """Note what `tracking.uri: auto` stands for in this folder."""
        self._write(self.manifest.changed(tracking=uri))

    def show(self) -> None:
        """Show the files of the current study's entries at the top of the folder."""
        wanted = self._views(self.parts)
        shown, digests = self.manifest.shown, {path: (v.sha256,) for path, v in wanted.items()}
        known = {
            path: tuple(dict.fromkeys([*shown.get(path, ()), *digests.get(path, ())]))
            for path in [*wanted, *shown]
        }
        manifest = self.manifest.changed(shown=known)
        for path in wanted:
            manifest = manifest.owning(path)
        self._write(manifest)
        show_views(self.path, wanted, known)
        if self.bucket is not None:
            for path in self.bucket.show(wanted, shown):
                logger.warning("%s/%s is not rayred's: it stays as it is", self.name, path)
        self._write(manifest.changed(shown=digests))

    def place(self, name: str) -> Path:
        """Return the path of something to write that is no entry, and list it in the manifest.

        Raises
        ------
        RunFolderError
            There is something of this name that rayred has not put there.
        """
        if name not in self.manifest.owns and os.path.lexists(self / name):
            raise RunFolderError(
                f"{self / name}: not rayred's; move it away, or choose another --out"
            )
        self._write(self.manifest.owning(name))
        return self / name

    def remove(self, name: str) -> None:
        """Remove a file or folder that `place` has named, if it is there."""
        if name in self.manifest.owns:
            remove(self / name)
            if self.bucket is not None:
                self.bucket.remove([name, *self.bucket.below(name)])

    def fetch_placed(self) -> None:
        """Fetch what `place` has named from the bucket, if there is one and it is not here."""
        if self.bucket is None:
            return
        for name in self._placed():
            for one in [name, *self.bucket.below(name)]:
                if one in self.bucket.sizes and not (self / one).exists():
                    self.bucket.fetch(one, self / one)

    def put_placed(self, *names: str) -> None:
        """Put what `place` has named, by default all of it, into the bucket, if there is one."""
        if self.bucket is None:
            return
        for name in names or self._placed():
            if (self / name).is_dir():
                self.bucket.put_folder(self / name, name)
            elif (self / name).is_file():
                self.bucket.put(self / name, name)

    def _placed(self) -> list[str]:
        """Return the names of what is neither an entry, nor a view, nor a checkpoint."""
        views = {Path(path).parts[0] for path in self.manifest.shown}
        return [one for one in self.manifest.owns if one not in views | {MADE, CHECKPOINTS}]

    def _entry(self, stage: str, key: str) -> Entry | None:
        """Return an entry as its record has it, fetched from the bucket if it is not here."""
        name = f"{stage}-{key}"
        return Entry.read(self.made / name) or self._fetch(name)

    def _fetch(self, name: str) -> Entry | None:
        if self.bucket is None or (self.made / name).exists():
            return None
        return self.bucket.fetch_entry(name, self.made)

    def _views(self, parts: Mapping[str, str]) -> dict[str, View]:
        entries = [self._entry(stage, key) for stage, key in parts.items()]
        return views_of([entry for entry in entries if entry is not None and entry.shown])

    def _know_views_of(self, replaced: Path) -> None:
        """Note that views of an entry are rayred's, also if they were edited with its files."""
        shown = dict(self.manifest.shown)
        for source in replaced.rglob("*"):
            name = source.relative_to(replaced).as_posix()
            view = self / name
            if source.is_file() and view.is_file() and view.samefile(source):
                shown[name] = tuple({*shown.get(name, ()), digest_of_file(view)})
        self._write(self.manifest.changed(shown=shown))

    @property
    def _environment_key(self) -> str:
        if self._environment is None:
            return ""
        return keys.digest("environment", 1, self._environment)

    def _keep_environment(self) -> None:
        environment, key = self._environment, self._environment_key
        if environment is not None and self.find(ENVIRONMENT.name, key) is None:
            self._write_entry(ENVIRONMENT, key, environment, 0.0)

    def _write_entry(self, stage: Stage[M, T], key: str, outcome: M, seconds: float) -> None:
        if MADE not in self.manifest.owns:
            self.place(MADE)
        self._know_views_of(self.made / f"{stage.name}-{key}")
        origin = Origin(self._environment_key, self.manifest.generation, round(seconds, 2))

        def save(folder: Path) -> None:
            stage.save(folder, outcome)

        entry = write_entry(self.made, stage.name, key, save, shown=stage.shown, origin=origin)
        if self.bucket is not None:
            self.bucket.put_entry(entry.folder)

    def _write(self, manifest: Manifest) -> None:
        if manifest != self.manifest:
            manifest.write(self.path)
            if self.bucket is not None:
                self.bucket.put(self.path / MANIFEST, MANIFEST)
            self.manifest = manifest

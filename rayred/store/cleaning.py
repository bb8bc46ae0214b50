"""Cleaning a run folder: what the current study has no part in is removed, on demand alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rayred.files import remove
from rayred.store.entries import Entry, all_entries
from rayred.store.folder import CHECKPOINTS, Store
from rayred.store.stage import ENVIRONMENT


@dataclass(frozen=True)
class Unneeded:
    """What the current study has no part in."""

    entries: tuple[Entry, ...]
    checkpoints: tuple[Path, ...]
    """Folders of checkpoints of other studies."""

    @property
    def bytes(self) -> int:
        """Size of all files."""
        files = (file.bytes for entry in self.entries for file in entry.files.values())
        paths = (path for folder in self.checkpoints for path in folder.rglob("*"))
        return sum(files) + sum(path.stat().st_size for path in paths if path.is_file())

    def paths(self) -> list[Path]:
        """Return all folders."""
        return [*(entry.folder for entry in self.entries), *self.checkpoints]


def find_unneeded(store: Store) -> Unneeded:
    """Return what the current study has no part in.

    A study that is not finished may still come to use anything: then it is nothing.
    """
    if not store.manifest.current.finished:
        return Unneeded((), ())
    entries = list(all_entries(store.made))
    needed = [entry for entry in entries if store.parts.get(entry.stage) == entry.key]
    kept = {(entry.stage, entry.key) for entry in needed}
    kept |= {(ENVIRONMENT.name, entry.origin.environment) for entry in needed}
    others: list[Path] = []
    if CHECKPOINTS in store.manifest.owns and (store / CHECKPOINTS).is_dir():
        found = sorted((store / CHECKPOINTS).glob(f"{store.manifest.folder}-*"))
        others = [folder for folder in found if folder.name != store.identity]
    unneeded = [entry for entry in entries if (entry.stage, entry.key) not in kept]
    return Unneeded(tuple(unneeded), tuple(others))


def remove_unneeded(store: Store, unneeded: Unneeded) -> None:
    """Remove what `find_unneeded` has found, after the studies that had a part in it."""
    store.forget_others()
    for entry in unneeded.entries:
        entry.remove()
    for folder in unneeded.checkpoints:
        remove(folder)

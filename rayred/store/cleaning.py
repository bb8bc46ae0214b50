"""Cleaning a run folder: what the current study has no part in is removed, on demand alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rayred.files import remove
from rayred.store.entries import MADE, Entry
from rayred.store.folder import CHECKPOINTS, Store
from rayred.store.stage import ENVIRONMENT


@dataclass(frozen=True)
class Unneeded:
    """What the current study has no part in."""

    entries: tuple[Entry, ...] = ()
    checkpoints: Mapping[Path, int] = field(default_factory=dict)
    """Bytes of each folder with checkpoints of another study."""

    @property
    def bytes(self) -> int:
        """Size of all files."""
        files = (file.bytes for entry in self.entries for file in entry.files.values())
        return sum(files) + sum(self.checkpoints.values())

    def paths(self) -> list[Path]:
        """Return all folders; of a run folder in a bucket, where its working copy has them."""
        return [*(entry.folder for entry in self.entries), *self.checkpoints]


def find_unneeded(store: Store) -> Unneeded:
    """Return what the current study has no part in.

    A study that is not finished may still come to use anything: then it is nothing.
    """
    if not store.manifest.current.finished:
        return Unneeded()
    entries = store.entries()
    needed = [entry for entry in entries if store.parts.get(entry.stage) == entry.key]
    kept = {(entry.stage, entry.key) for entry in needed}
    kept |= {(ENVIRONMENT.name, entry.origin.environment) for entry in needed}
    unneeded = [entry for entry in entries if (entry.stage, entry.key) not in kept]
    return Unneeded(tuple(unneeded), _checkpoints_of_others(store))


def remove_unneeded(store: Store, unneeded: Unneeded) -> None:
    """Remove what `find_unneeded` has found, after the studies that had a part in it."""
    store.forget_others()
    for entry in unneeded.entries:
        entry.remove()
        if store.bucket is not None:
            store.bucket.remove(store.bucket.below(f"{MADE}/{entry.folder.name}"))
    for folder in unneeded.checkpoints:
        remove(folder)
        if store.bucket is not None:
            store.bucket.remove(store.bucket.below(f"{CHECKPOINTS}/{folder.name}"))


def _checkpoints_of_others(store: Store) -> dict[Path, int]:
    if CHECKPOINTS not in store.manifest.owns:
        return {}
    if store.bucket is None:
        files = [path for path in (store / CHECKPOINTS).rglob("*") if path.is_file()]
        sizes = {path.relative_to(store.path).as_posix(): path.stat().st_size for path in files}
        folders = {path.name for path in (store / CHECKPOINTS).glob("*")}
    else:
        sizes = store.bucket.sizes
        folders = {Path(name).parts[1] for name in store.bucket.below(CHECKPOINTS)}
    start = f"{store.manifest.folder}-"
    others = sorted(one for one in folders if one.startswith(start) and one != store.identity)
    return {
        store / CHECKPOINTS / one: sum(
            size for name, size in sizes.items() if name.startswith(f"{CHECKPOINTS}/{one}/")
        )
        for one in others
    }

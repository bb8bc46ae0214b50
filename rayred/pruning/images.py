"""The kept images of a smaller data set, as files beside its tables.

The files are the user's from then on: only what is still as it was put there is removed when other
images are kept, and nothing that someone has added or edited.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred import keys
from rayred.data import Split
from rayred.errors import DataError
from rayred.files import Link, put_file, remove_unfinished, replacing
from rayred.store import Stage, Store, all_entries

logger = logging.getLogger(__name__)

IMAGES = "images"
"""Folder within the output folder."""


@dataclass(frozen=True)
class Put:
    """A file as it was put there."""

    name: str
    """Path below `IMAGES`."""
    bytes: int
    time: int
    """Time of its last change, in nanoseconds."""
    link: Link

    @classmethod
    def of(cls, name: str, path: Path, link: Link) -> Put:
        """Return what a path holds; raises OSError if there is nothing."""
        stat = path.stat()
        return cls(name, stat.st_size, stat.st_mtime_ns, link)


def _save(folder: Path, files: Iterable[Put]) -> None:
    table = pa.Table.from_pylist([asdict(file) for file in files])
    pq.write_table(table, folder / "files.parquet")


def _load(folder: Path) -> dict[str, Put]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "files.parquet").to_pylist()
    return {row["name"]: Put(**row) for row in rows}


PUT = Stage[Iterable[Put], dict[str, Put]]("put", _save, _load, shown=False)


def keep_images(
    store: Store, split: Split, kept: NDArray[np.int64], pruned: str, link: Link
) -> None:
    """Put the kept images, where they are files, into ``images/``, and remove those put before.

    Parameters
    ----------
    store
        The output folder.
    split
        The N images.
    kept
        (n,) int64, which of the N images are kept.
    pruned
        Key of the smaller data set.
    link
        How the files are put there.

    Raises
    ------
    DataError
        A file cannot be read or linked.
    """
    if split.folder is None:
        return
    folder, before, left = store.place(IMAGES), _put_before(store), []
    wanted = {split.names[row]: split.folder / split.names[row] for row in kept}
    for parent in {(folder / name).parent for name in wanted}:
        remove_unfinished(parent)
    for name in before.keys() - wanted.keys():
        if _is_as_put(folder / name, before[name]):
            (folder / name).unlink()
            _remove_empty(folder, (folder / name).parent)
        elif os.path.lexists(folder / name):
            left.append(name)
    files = []
    for name, source in wanted.items():
        now, path = _of_source(name, source, link), folder / name
        if _is_as_put(path, now) and before.get(name, now) == now:
            files.append(now)
        elif not os.path.lexists(path) or (name in before and _is_as_put(path, before[name])):
            with replacing(path) as temporary:
                put_file(source, temporary, link)
            files.append(now)
        else:
            left.append(name)
    store.put(PUT, keys.digest("put", 1, {"pruned": pruned, "link": link}), files)
    if left:
        first = folder / min(left)
        logger.warning("%d files are not as rayred has put them, and stay: %s", len(left), first)


def _of_source(name: str, source: Path, link: Link) -> Put:
    try:
        return Put.of(name, source, link)
    except OSError as error:
        raise DataError(f"{source}: cannot be read: {error.strerror}") from error


def _put_before(store: Store) -> dict[str, Put]:
    """Return the files that were put into the folder last, also by a run before a fresh one."""
    entries = [one for one in all_entries(store.made, f"{PUT.name}-") if not one.damage()]
    last = max(entries, key=lambda one: one.origin.time, default=None)
    return {} if last is None else _load(last.folder)


def _is_as_put(path: Path, put: Put) -> bool:
    try:
        return (
            path.is_symlink() == (put.link == "symlink") and Put.of(put.name, path, put.link) == put
        )
    except OSError:
        return False


def _remove_empty(top: Path, folder: Path) -> None:
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent

"""Opening a run folder: by one process to write, by any to read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rayred.errors import FolderClosedError, RayredError, RunFolderError
from rayred.files import remove_unfinished
from rayred.store.bucket import Bucket, adopt, name_of
from rayred.store.claim import Claim
from rayred.store.entries import MADE, Entry, recover
from rayred.store.folder import Store
from rayred.store.manifest import LOCK, MANIFEST, Manifest

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def open_store(
    path: Path, environment: Mapping[str, Any] | None = None, *, make: bool = False
) -> Iterator[Store]:
    """Open a run folder to write, for this process alone.

    What a process that was killed left half-way is finished or removed.

    Parameters
    ----------
    path
        The folder.
    environment
        With what entries are made.
    make
        Whether to make the folder if there is none, or it is empty.

    Raises
    ------
    FolderClosedError
        The folder cannot be written, or is in use.
    RunFolderError
        It is no run folder.
    RayredError
        There was no space left while it was open.
    """
    lock = FileLock(path / LOCK, timeout=0)
    try:
        if make:
            check_folder(path)
            path.mkdir(parents=True, exist_ok=True)
        else:
            Manifest.read(path)
        lock.acquire()
    except Timeout as error:
        raise FolderClosedError(
            f"{name_of(path)}: another rayred is at work in this run folder"
        ) from error
    except OSError as error:
        raise FolderClosedError(f"{path}: cannot write the folder: {error.strerror}") from error
    try:
        with _bucket_of(path) as bucket:
            if not (path / MANIFEST).exists():
                check_folder(path)
                # The manifest comes first: a folder without one is no run folder, whatever it
                # holds.
                Manifest().write(path)
                if bucket is not None:
                    bucket.put(path / MANIFEST, MANIFEST)
            store = Store(path, environment, bucket)
            for folder in {store.path, *((store / name).parent for name in store.manifest.shown)}:
                remove_unfinished(folder)
            recover(store.made)
            store.fetch_placed()
            store.show()
            try:
                yield store
            finally:
                store.put_placed()
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise RayredError(
            f"no space left in {path} ({error.strerror}): make room, and the same command goes on"
        ) from error
    finally:
        lock.release()


@contextmanager
def _bucket_of(path: Path) -> Iterator[Bucket | None]:
    """Give the bucket that a folder is the working copy of, for this process alone to write."""
    bucket = Bucket.of(path)
    if bucket is None:
        yield None
        return
    claim = Claim(bucket)
    with claim.held():
        bucket.check = claim.check
        adopt(path, bucket)
        for name in sorted(path.name for path in (path / MADE).glob("*")):
            if name not in bucket.entries() and Entry.read(path / MADE / name) is not None:
                bucket.put_entry(path / MADE / name)  # made, and not put before the process ended
        yield bucket


def check_folder(path: Path) -> None:
    """Raise unless a folder is a run folder, empty, or still to be made; nothing is written.

    Raises
    ------
    RunFolderError
        It is something else.
    """
    bucket = Bucket.of(path)
    if bucket is not None:
        if bucket.manifest() is None:
            bucket.check_empty()
        return
    try:
        held = {entry.name for entry in os.scandir(path)}
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunFolderError(f"{path}: cannot read the run folder: {error.strerror}") from error
    if MANIFEST in held:
        Manifest.read(path)
        return
    foreign = [name for name in held if not name.startswith(".")]
    if foreign:
        raise RunFolderError(
            f"{path}: not empty and no run folder (it holds {min(foreign)!r}); choose another --out"
        )


def check_no_changes(path: Path, changes: Sequence[str]) -> None:
    """Raise if a run folder's config is to be changed without `--update` or `--fresh`.

    Raises
    ------
    RunFolderError
        There are changes.
    """
    if changes:
        raise RunFolderError(
            f"{name_of(path)}: holds a run of another config: {'; '.join(changes)}. Choose another"
            " --out, or go on in this folder with --update: what does not depend on the change is"
            " used again, and what was made before stays"
        )

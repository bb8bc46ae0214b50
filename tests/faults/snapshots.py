"""What a tree of files is, to compare it before and after a command."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection
from pathlib import Path

Snapshot = dict[str, tuple[object, ...]]


def snapshot(top: Path, new_in: Collection[Path] = ()) -> Snapshot:
    """Content, mode, inode and time of all that is below a folder, links not followed.

    Of folders in `new_in`, something new may be put into, and what is new there is not looked at.
    """
    found: Snapshot = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files, ""):
            path = Path(folder) / name
            found[str(path)] = _state(path, is_new=path in new_in)
    return found


def _state(path: Path, *, is_new: bool) -> tuple[object, ...]:
    status = path.lstat()
    content: object = None
    if stat.S_ISLNK(status.st_mode):
        content = path.readlink()
    elif stat.S_ISREG(status.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    kept = (content, status.st_mode, status.st_ino)
    return kept if is_new else (*kept, status.st_mtime_ns)


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """What was there before and has gone or is another now."""
    return sorted(path for path, state in before.items() if after.get(path) != state)

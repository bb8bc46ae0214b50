"""Files that appear whole or not at all, JSON, and the places of files in folders and at URLs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = re.compile(r"\..+\.rayred-[0-9a-f]{32}(\.[^.]*)?")
"""Names of files and folders that are being written."""


def temporary_beside(target: Path) -> Path:
    """Return a name in the same folder that nothing has, for what is being written."""
    return target.with_name(f".{target.name}.rayred-{uuid.uuid4().hex}{target.suffix}")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that takes its place at the end, if nothing fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        yield temporary
        if target.is_dir():
            shutil.rmtree(target)
        temporary.replace(target)
    finally:
        remove(temporary)


def write_json(path: Path, content: Any) -> None:
    """Write JSON; the file appears whole or not at all, also after a loss of power."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
        sync(temporary)
    sync(path.parent)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or an empty one where there is no readable file."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def sync(path: Path) -> None:
    """Wait until a file, or the list of a folder's files, is on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 digest of a file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def joined(place: str, name: str) -> str:
    """Return the place of something in a folder, or at a URL, whose options stay at its end.

    >>> joined("s3://bucket/rayred?region=eu-west-1", "study")
    's3://bucket/rayred/study?region=eu-west-1'
    """
    address, mark, options = place.partition("?") if "://" in place else (place, "", "")
    return f"{address.rstrip('/')}/{name}{mark}{options}"


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed was writing into a folder."""
    for path in folder.glob(".*"):
        if TEMPORARY.fullmatch(path.name):
            remove(path)

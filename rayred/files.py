"""Files that appear whole or not at all, JSON, arrays, files put elsewhere, and places at URLs."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rayred.errors import ConfigError, DataError, did_you_mean

TEMPORARY = re.compile(r"\..+\.rayred-[0-9a-f]{32}(\.[^.]*)?")
"""Names of files and folders that are being written."""
FICLONE = 0x40049409
"""Linux's request that a file share another's blocks (linux/fs.h); fcntl has it from 3.13 on."""


def temporary_beside(target: Path) -> Path:
    """Return a name in the same folder that nothing has, for what is being written."""
    return target.with_name(f".{target.name}.rayred-{uuid.uuid4().hex}{target.suffix}")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that takes its place at the end, if nothing fails.

    A folder takes the place of a folder, a file that of a file or link.

    Raises
    ------
    ConfigError
        At `target` stands a folder for a file, or something else for a folder; it stays there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(target)
    try:
        yield temporary
        _make_way(target, temporary)
        temporary.replace(target)
    finally:
        remove(temporary)


def _make_way(target: Path, temporary: Path) -> None:
    """Remove the earlier folder at the place of a folder."""
    if not temporary.is_dir():
        if target.is_dir():
            raise ConfigError(f"{target}: is a folder; a file is to be written there")
    elif target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ConfigError(f"{target}: is no folder; a folder is to be written there")
    elif target.exists():
        shutil.rmtree(target)


def write_json(path: Path, content: Any) -> None:
    """Write JSON; the file appears whole or not at all, also after a loss of power."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")
        sync(temporary)
    sync(path.parent)


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array to a .npy file; the bytes are those of `numpy.save`.

    Raises
    ------
    OSError
        The file cannot be written. On a full disk the error of `numpy.save` has no number.
    """
    write_rows(path, len(array), [array])


def write_rows(path: Path, n_rows: int, parts: Iterable[NDArray[Any]]) -> None:
    """Write the rows of several arrays to one .npy file, without having all of them in memory.

    Parameters
    ----------
    path
        The file.
    n_rows
        Number of rows of all parts together.
    parts
        Arrays of one type and width, at least one.

    Raises
    ------
    OSError
        The file cannot be written. A memory map would end the process on a full disk (SIGBUS).
    """
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            if number == 0:
                descr = np.lib.format.dtype_to_descr(part.dtype)
                shape = (n_rows, *part.shape[1:])
                header = {"descr": descr, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(part).data)


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


def copy_file(source: Path, target: Path) -> None:
    """Copy a file with its mode and times; it shares the disk's blocks where that can be done."""
    with source.open("rb") as read, target.open("wb") as written:
        try:
            fcntl.ioctl(written, FICLONE, read.fileno())
        except OSError:
            shutil.copyfileobj(read, written)
    shutil.copystat(source, target)


def _link_hard(source: Path, target: Path) -> None:
    target.hardlink_to(os.path.realpath(source))


def _link_symbolic(source: Path, target: Path) -> None:
    source.stat()  # raises where the link would lead nowhere
    target.symlink_to(source.absolute())


Link = Literal["copy", "hard", "symlink"]
"""How a file is put elsewhere."""
LINKS: dict[Link, Callable[[Path, Path], None]] = {
    "copy": copy_file,
    "hard": _link_hard,
    "symlink": _link_symbolic,
}


def check_link(link: str, source: Path | None, folder: Path) -> None:
    """Refuse what `put_file` cannot do for files below `source` and a folder that is to be made.

    `source` is None where there are no files.

    Raises
    ------
    ConfigError
        There is no such way, or the two are on different file systems, for a hard link.
    """
    if link not in LINKS:
        hint = did_you_mean(link, LINKS)
        raise ConfigError(f"--link {link}: unknown;{hint} Allowed: {', '.join(LINKS)}")
    if link != "hard" or source is None:
        return
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if source.stat().st_dev != there.stat().st_dev:
        raise ConfigError(
            f"--link hard: {source} and {folder} are on different file systems; use --link copy or"
            " --link symlink"
        )


def put_file(source: Path, target: Path, link: Link) -> None:
    """Copy a file, or make a link to it; the folder is made where it is missing.

    Raises
    ------
    DataError
        The file has gone or cannot be read, or the file system cannot make the link.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        LINKS[link](source, target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise DataError(
            f"{source}: cannot be copied or linked (--link {link}): {error.strerror}"
        ) from error

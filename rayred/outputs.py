"""Outputs that would change what is read: refused before any work.

Paths are compared as the file system sees them, through links of both kinds and other spellings.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rayred.errors import ConfigError


@dataclass(frozen=True)
class Sources:
    """The files and folders on this machine that a command was given to read."""

    paths: tuple[Path, ...] = ()
    patterns: tuple[str, ...] = ()
    """Globs, as `glob.glob` takes them: files that appear later are read the next time."""
    downloads: tuple[Path, ...] = ()
    """Folders of downloads that are read: rayred itself writes there, nothing else does."""

    def __add__(self, other: Sources) -> Sources:
        """Return the sources of both."""
        return Sources(
            (*self.paths, *other.paths),
            (*self.patterns, *other.patterns),
            (*self.downloads, *other.downloads),
        )


def check_output(out: Path, sources: Sources, name: str = "--out") -> None:
    """Refuse a file or folder to write that is, lies in or holds something that is read.

    Parameters
    ----------
    out
        File or folder, which need not be there yet.
    sources
        What is read.
    name
        Option or setting that `out` comes from, for the message.

    Raises
    ------
    ConfigError
        Writing there would change what is read, or what is read the next time; or `out` is a link
        that leads nowhere.
    """
    if out.is_symlink() and not out.exists():
        raise ConfigError(f"{name} {out}: is a link that leads nowhere; {_other(name)}")
    ours = _places(out)
    for source in (*sources.paths, *sources.downloads):
        theirs = _places(source)
        if ours[0] == theirs[0]:
            raise ConfigError(f"{name} {out}: is {source}, which is read; {_other(name)}")
        if theirs[0] in ours:
            raise ConfigError(f"{name} {out}: lies in {source}, which is read; {_other(name)}")
        if ours[0] in theirs:
            raise ConfigError(f"{name} {out}: holds {source}, which is read; {_other(name)}")
    for pattern in sources.patterns:
        if _may_match(_real_pattern(pattern), Path(os.path.realpath(out)).parts):
            raise ConfigError(
                f"{name} {out}: {pattern} would read what is written there; {_other(name)}"
            )


def check_output_file(out: Path, sources: Sources) -> None:
    """Refuse a file to write as `check_output`, or if something else stands there.

    Raises
    ------
    ConfigError
        As `check_output`; or a folder, a pipe or a device stands there, or the folder cannot be
        written.
    """
    if out.exists() and not out.is_file():
        found = "a folder" if out.is_dir() else "no regular file"
        raise ConfigError(f"--out {out}: is {found}; {_other('--out')}")
    check_output(out, sources)
    check_folder_above(out)


def check_folder_above(out: Path) -> None:
    """Refuse a file or folder to write where none can be made.

    Raises
    ------
    ConfigError
        The folder that it is to be in cannot be written, or is no folder.
    """
    folder = next(one for one in out.absolute().parents if one.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: cannot be written into {folder}; {_other('--out')}")


def _other(name: str) -> str:
    return f"choose another {name}"


def _places(path: Path) -> list[object]:
    """Return what the file system knows a path by, and then all folders above it.

    Of what is there, device and inode, which are the same by every name; else the path.
    """
    real = Path(os.path.realpath(path))
    return [_place(one) for one in (real, *real.parents)]


def _place(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _real_pattern(pattern: str) -> tuple[str, ...]:
    """Return the parts of a glob, whose first ones, without wildcards, are resolved."""
    parts = Path(pattern).absolute().parts
    fixed = next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    real = Path(os.path.realpath(Path(*parts[:fixed]))).parts
    return (*(glob.escape(part) for part in real), *parts[fixed:])


def _may_match(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """Return whether a glob may match a path, or something that is put below it."""
    if not path:
        return True
    if not pattern:
        return False
    if pattern[0] == "**":
        return _may_match(pattern[1:], path) or _may_match(pattern, path[1:])
    return fnmatchcase(path[0], pattern[0]) and _may_match(pattern[1:], path[1:])

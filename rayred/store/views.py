"""Views: the files at the top of a run folder, which are those of the current study's entries.

A view is a hard link to the file of an entry, or a copy where there are none. A file that is not
such a link, nor known by its content to be rayred's, is left as it is.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from rayred.files import digest_of_file, replacing
from rayred.store.entries import MADE, Entry

logger = logging.getLogger(__name__)

CONFIG_FILE = "config.yaml"
"""The view that says whose the others are."""


@dataclass(frozen=True)
class View:
    """A file to be shown."""

    source: Path
    bytes: int
    sha256: str


def views_of(entries: Iterable[Entry]) -> dict[str, View]:
    """Return the views of some entries by path, that of the config first."""
    found = {
        name: View(entry.folder / name, file.bytes, file.sha256)
        for entry in entries
        for name, file in entry.files.items()
        if (entry.folder / name).is_file()
    }
    return dict(sorted(found.items(), key=lambda item: item[0] != CONFIG_FILE))


def hide_views(
    folder: Path, kept: Mapping[str, View], known: Mapping[str, tuple[str, ...]]
) -> None:
    """Remove what was shown at the top of a folder, but not what is shown as it is to be kept.

    Parameters
    ----------
    folder
        The run folder.
    kept
        What is kept, by path.
    known
        Digests that a view of rayred's may have, by path.
    """
    for path in sorted(known, key=lambda path: path == CONFIG_FILE):
        if path not in kept or not _is_shown(folder / path, kept[path]):
            _remove(folder, path, known[path])


def show_views(
    folder: Path, wanted: Mapping[str, View], known: Mapping[str, tuple[str, ...]]
) -> None:
    """Show some files at the top of a folder, and nothing else of what was shown before.

    Parameters
    ----------
    folder
        The run folder.
    wanted
        What is to be shown, by path.
    known
        Digests that a view of rayred's may have, by path, those of `wanted` included.
    """
    for path in known:
        if path not in wanted:
            _remove(folder, path, known[path])
    for path, view in wanted.items():
        if not _is_shown(folder / path, view):
            _place(folder, path, view, known[path])


def _is_shown(path: Path, view: View) -> bool:
    """Return whether a view is there: the same file, or a copy of it."""
    try:
        if path.is_symlink() or path.samefile(view.source):
            return not path.is_symlink()
        copy, source = path.stat(), view.source.stat()
        if copy.st_size != view.bytes:
            return False
        same_time = copy.st_size == source.st_size and copy.st_mtime_ns == source.st_mtime_ns
        return same_time or digest_of_file(path) == view.sha256
    except OSError:
        return False


def _is_ours(folder: Path, name: str, known: tuple[str, ...]) -> bool:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        return False
    return digest_of_file(path) in known or _is_link_to_entry(folder, name)


def _is_link_to_entry(folder: Path, name: str) -> bool:
    """Return whether a file is an entry's own, also if it was cut or edited there."""
    path = folder / name
    if path.stat().st_nlink == 1:
        return False
    return any(path.samefile(file) for file in (folder / MADE).glob(f"*/{escape(name)}"))


def _remove(folder: Path, name: str, known: tuple[str, ...]) -> None:
    path = folder / name
    if not _reaches(folder, path) or not os.path.lexists(path):
        return
    if not _is_ours(folder, name, known):
        logger.warning("%s is not as rayred has written it: it stays as it is", path)
        return
    path.unlink()
    for parent in path.relative_to(folder).parents:
        if parent != Path() and not any((folder / parent).iterdir()):
            (folder / parent).rmdir()


def _place(folder: Path, name: str, view: View, known: tuple[str, ...]) -> None:
    path = folder / name
    if not _reaches(folder, path) or (os.path.lexists(path) and not _is_ours(folder, name, known)):
        logger.warning("%s is not rayred's: it stays as it is; see %s", path, view.source)
        return
    if digest_of_file(view.source) != view.sha256:
        return  # damaged: it is shown when it is made again
    with replacing(path) as temporary:
        try:
            os.link(view.source, temporary)
        except OSError:
            shutil.copy2(view.source, temporary)  # also its time, by which it is known


def _reaches(folder: Path, path: Path) -> bool:
    """Return whether a path is within a folder by folders alone, without a link or a file."""
    parents = [parent for parent in path.parents if parent.is_relative_to(folder)]
    return all(not parent.is_symlink() and not parent.is_file() for parent in parents[:-1])

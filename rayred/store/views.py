"""Views: the files at the top of a run folder, which are those of the current study's entries.

A view is a hard link to the file of an entry, or a copy where there are none. A file that is not
known by its content to be rayred's is left as it is.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    sha256: str


def views_of(entries: Iterable[Entry]) -> dict[str, View]:
    """Return the views of some entries by path, that of the config first."""
    found = {
        name: View(entry.folder / name, file.sha256)
        for entry in entries
        for name, file in entry.files.items()
        if (entry.folder / name).is_file()
    }
    return dict(sorted(found.items(), key=lambda item: item[0] != CONFIG_FILE))


def renew_views(
    folder: Path, wanted: Mapping[str, View], known: Mapping[str, tuple[str, ...]]
) -> None:
    """Show some files at the top of a folder, and nothing else of what was shown before.

    All that is shown at any moment is of one config: if it changes, the others' views go first.

    Parameters
    ----------
    folder
        The run folder.
    wanted
        What is to be shown, by path.
    known
        Digests that a view of rayred's may have, by path, those of `wanted` included.
    """
    config = wanted.get(CONFIG_FILE)
    same = config is not None and _is_shown(folder / CONFIG_FILE, config)
    for path in sorted(known, key=lambda path: path == CONFIG_FILE):
        view = wanted.get(path)
        is_replaced = path == CONFIG_FILE or same
        if view is None or not (is_replaced or _is_shown(folder / path, view)):
            _remove(folder, path, known[path])
    for path, view in wanted.items():
        if not _is_shown(folder / path, view):
            _place(folder, path, view, known[path])


def _is_shown(path: Path, view: View) -> bool:
    """Return whether a view is there: the same file, or a copy of it."""
    try:
        if path.is_symlink() or path.samefile(view.source):
            return not path.is_symlink()
        same_size = path.stat().st_size == view.source.stat().st_size
        return same_size and digest_of_file(path) == view.sha256
    except OSError:
        return False


def _is_ours(folder: Path, name: str, known: tuple[str, ...]) -> bool:
    """Return whether a file is as rayred has put it there, or an entry's file, edited or not."""
    path = folder / name
    if path.is_symlink() or not path.is_file():
        return False
    if path.stat().st_nlink > 1 and any(map(path.samefile, (folder / MADE).glob(f"*/{name}"))):
        return True
    return digest_of_file(path) in known


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
    with replacing(path) as temporary:
        try:
            os.link(view.source, temporary)
        except OSError:
            shutil.copyfile(view.source, temporary)


def _reaches(folder: Path, path: Path) -> bool:
    """Return whether a path is within a folder by folders alone, without a link or a file."""
    parents = [parent for parent in path.parents if parent.is_relative_to(folder)]
    return all(not parent.is_symlink() and not parent.is_file() for parent in parents[:-1])

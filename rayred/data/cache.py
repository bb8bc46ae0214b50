"""What is kept on a node between runs: copies of rows, and what is known of files."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rayred.errors import DataError
from rayred.files import remove


def home_expanded(path: str) -> Path:
    """Return a path made absolute, in which ``~`` stands for the home folder.

    Raises
    ------
    DataError
        There is no home folder.
    """
    try:
        return (Path(path).expanduser() if path.startswith("~") else Path(path)).absolute()
    except RuntimeError as error:
        raise DataError(f"{path}: there is no home folder; name another (data.root)") from error


def make_room(cache: Path, mark: str, size: int, most_gb: float | None) -> None:
    """Remove the copies that were not used for longest, until one more fits.

    Parameters
    ----------
    cache
        Folder with a folder for each copy.
    mark
        File in each copy whose time says when it was last used.
    size
        Bytes that the next copy is going to take up.
    most_gb
        Most that all copies take up; None: half of what the disk has for them.
    """
    used = {path.parent: _size(path.parent) for path in cache.glob(f"*/{mark}")}
    free = shutil.disk_usage(cache).free
    most = most_gb * 1e9 if most_gb is not None else (free + sum(used.values())) / 2
    for copy in sorted(used, key=lambda copy: (copy / mark).stat().st_mtime):
        if sum(used.values()) + size <= most:
            return
        try:
            with FileLock(cache / f".{copy.name}.lock", timeout=0):
                remove(copy)
        except Timeout:
            continue  # another process is about to read it
        del used[copy]


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Keep Hugging Face `datasets` from showing progress bars and errors of its own."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    log = logging.getLogger("datasets")
    before, level = are_progress_bars_disabled(), log.level
    disable_progress_bars()
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
        if not before:
            enable_progress_bars()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

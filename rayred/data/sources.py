"""What a data set is read from on this machine, found without reading it."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from rayred.config import Data
from rayred.config.experiment import is_dataset_name
from rayred.data.cache import home_expanded
from rayred.outputs import Sources


def sources_of(name: str, data: Data) -> Sources:
    """Return the files and folders that both splits of a data set are read from.

    Parameters
    ----------
    name
        The data set, as `rayred.data.load_dataset` takes it.
    data
        Where its test split is, and the folder of downloads.

    Returns
    -------
    sources
        Nothing of what is in a bucket.
    """
    scheme = name.partition(":")[0]
    test = data.test or name
    if not is_dataset_name(test):  # of parquet:, a pattern; of hf:, the name of a split
        test = f"parquet:{test}" if scheme == "parquet" else name
    return sum((_read_by(one, data) for one in dict.fromkeys((name, test))), Sources())


def _read_by(name: str, data: Data) -> Sources:
    scheme, _, place = name.partition(":")
    if scheme == "folder":
        return _tree(home_expanded(place))
    if scheme == "parquet":
        return _parquet(place)
    if scheme == "hf":
        # Also where nothing is there yet: a folder of this name would be read the next time.
        return _tree(Path(place).absolute())
    return Sources() if name == "digits" else Sources(downloads=(home_expanded(data.root),))


def _parquet(pattern: str) -> Sources:
    if pattern.startswith("file://"):
        from pyarrow import fs  # here: most data sets need no file systems of Arrow

        folder, _, wanted = pattern.partition("?")[0].rpartition("/")
        pattern = f"{glob.escape(fs.FileSystem.from_uri(folder)[1])}/{wanted}"
    elif "://" in pattern:
        return Sources()
    given = home_expanded(pattern)
    if given.exists():
        return _tree(given)
    matching = glob.glob(str(given), recursive=True)  # noqa: PTH207 - as `rayred.data.parquet` does
    return Sources(tuple(Path(path) for path in sorted(matching)), (str(given),))


def _tree(top: Path) -> Sources:
    """Return a file or folder, and what links in it lead to, at any depth.

    Of the linked files in one folder, one is returned: no output can lie in a file, and one that
    holds one of them holds them all.
    """
    linked: dict[tuple[bool, Path], Path] = {}
    waiting, seen = [str(top)], set()
    while waiting:
        folder = waiting.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        for entry in _entries(folder):
            path = Path(entry.path)
            is_folder = path.is_dir() if entry.is_symlink() else entry.is_dir()
            if is_folder:
                waiting.append(entry.path)
            if entry.is_symlink() and path.exists():
                place = Path(os.path.realpath(path))
                linked.setdefault((is_folder, place if is_folder else place.parent), place)
    return Sources((top, *linked.values()))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """Return what is in a folder but for what is hidden, which no data set reads."""
    try:
        return [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return []

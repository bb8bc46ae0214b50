"""The smaller data set, as files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred.data import Split
from rayred.store import RunFolder, replacing


def write_pruned(
    folder: RunFolder, split: Split, kept: NDArray[np.int64], groups: NDArray[np.int64]
) -> None:
    """Write kept.npy, groups.parquet and, of images that are files, a tree of links to them.

    Parameters
    ----------
    folder
        Where to write.
    split
        The N images.
    kept
        (n,) which are kept, ascending.
    groups
        (N,) redundant group of every image.
    """
    with replacing(folder / "kept.npy") as temporary:
        np.save(temporary, kept)
    rows = np.arange(len(split))
    table = pa.table(
        {
            "index": rows,
            "name": list(split.names),
            "class": [split.classes[label] for label in split.labels],
            "group": groups,
            "kept": np.isin(rows, kept),
        }
    )
    with replacing(folder / "groups.parquet") as temporary:
        pq.write_table(table, temporary)
    if split.folder is not None:
        with replacing(folder / "images") as temporary:
            for index in kept:
                _link(split.folder / split.names[index], temporary / split.names[index])


def _link(source: Path, target: Path) -> None:
    """Make a hard link, or a copy where the two lie on different file systems."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)

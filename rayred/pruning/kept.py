"""What is kept of a data set, in the layout that it came in: image files, or rows of tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.data import Split
from rayred.data.images import Source
from rayred.files import Link
from rayred.pruning.images import keep_images
from rayred.store import Stage, Store

DATA = "data"
"""Folder of the tables, within the output folder."""


@dataclass(frozen=True)
class KeptRows:
    """Some rows of a table."""

    source: Source
    rows: NDArray[np.int64] = field(repr=False)
    """(n,) int64 ascending."""


def _save(folder: Path, kept: KeptRows) -> None:
    kept.source.write(kept.rows, folder / DATA)


KEPT_ROWS = Stage[KeptRows, None]("kept-rows", _save, lambda _: None)
"""The rows that are kept of a table, with all of its columns."""


def keep_data(store: Store, split: Split, kept: NDArray[np.int64], pruned: str, link: Link) -> None:
    """Put what is kept beside its tables: files into ``images/``, rows of tables into ``data/``.

    Images that are neither are not put anywhere.

    Parameters
    ----------
    store
        The output folder.
    split
        The N images.
    kept
        (n,) int64 ascending, which of the N images are kept.
    pruned
        Key of the smaller data set.
    link
        How files are put there.

    Raises
    ------
    DataError
        A file cannot be read or linked.
    """
    if split.source is None:
        keep_images(store, split, kept, pruned, link)
        return
    of_rows = KeptRows(split.source, split.rows[kept])
    key = keys.kept_rows(pruned=pruned, source=split.source.stamp())
    store.run(KEPT_ROWS, key, lambda: of_rows)

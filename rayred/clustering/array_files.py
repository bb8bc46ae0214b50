"""Redundant rows of a file of embeddings, written into another file.

Legend: N rows, n of them kept, D dimensions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred.clustering.groups import redundant_groups
from rayred.clustering.read_arrays import check_format, read_embeddings, read_labels
from rayred.errors import ConfigError
from rayred.files import replacing


def cluster_files(embeddings: Path, labels: Path, keep: float, out: Path) -> tuple[int, int]:
    """Cluster each class of the rows in a file, and write which rows to keep.

    Parameters
    ----------
    embeddings, labels
        Files, see `read_embeddings` and `read_labels`.
    keep
        Fraction of every class to keep, in (0, 1].
    out
        The file to write, see `write_groups`.

    Returns
    -------
    kept, rows
        How many rows are kept, of how many.

    Raises
    ------
    ConfigError
        A file or the fraction cannot be used.
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"--keep {keep:g}: expected a fraction in (0, 1]")
    check_format(out)
    x = read_embeddings(embeddings)
    given = read_labels(labels, len(x))
    try:
        groups = redundant_groups(x, given, [keep])
    except ValueError as error:
        raise ConfigError(f"{embeddings}: {error}") from error
    kept = groups.kept[keep]
    write_groups(out, kept, given, groups.trees.groups(keep))
    return len(kept), len(x)


def write_groups(
    path: Path, kept: NDArray[np.int64], labels: NDArray[Any], groups: NDArray[np.int64]
) -> None:
    """Write which rows are kept, and the group of every row.

    `.npy`: the kept rows, int64 ascending. `.npz`: arrays kept and groups. `.parquet`: one row a
    row with columns row, label, group and kept.

    Parameters
    ----------
    path
        The file; its ending decides the format.
    kept
        (n,) kept rows.
    labels, groups
        (N,) class and group of every row.
    """
    try:
        _write(path, kept, labels, groups)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def _write(
    path: Path, kept: NDArray[np.int64], labels: NDArray[Any], groups: NDArray[np.int64]
) -> None:
    check_format(path)
    with replacing(path) as temporary:
        if path.suffix == ".npy":
            np.save(temporary, kept)
        elif path.suffix == ".npz":
            np.savez(temporary, kept=kept, groups=groups)
        else:
            rows = np.arange(len(labels))
            columns = {"row": rows, "label": labels, "group": groups, "kept": np.isin(rows, kept)}
            pq.write_table(pa.table(columns), temporary)

"""Embeddings and labels from files, and the rows kept of them into a file.

Legend: N rows, D dimensions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred.clustering.groups import redundant_groups
from rayred.errors import ConfigError
from rayred.files import replacing

FORMATS = (".npy", ".npz", ".parquet")


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


def read_embeddings(path: Path) -> NDArray[Any]:
    """Return the (N, D) embeddings in a file.

    `.npy`: the array. `.npz`: the array named embeddings, or the only one. `.parquet`: the list
    column named embedding.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds no such array.
    """
    array = _read(path, "embeddings", "embedding")
    if array.ndim != 2:
        raise ConfigError(f"{path}: expected embeddings of shape (n, d), got shape {array.shape}")
    return array


def read_labels(path: Path, n_rows: int) -> NDArray[Any]:
    """Return the (N,) labels in a file, integers or text.

    `.npy`: the array. `.npz`: the array named labels, or the only one. `.parquet`: the column
    named label.

    Raises
    ------
    ConfigError
        The file cannot be read, or its labels are not one a row.
    """
    labels = _read(path, "labels", "label")
    if labels.shape != (n_rows,):
        raise ConfigError(
            f"{path}: expected {n_rows} labels, one an embedding, got shape {labels.shape}"
        )
    if labels.dtype.kind not in "iuUSb":
        raise ConfigError(f"{path}: expected integer or text labels, got dtype {labels.dtype}")
    return labels


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


def check_format(path: Path) -> None:
    """Raise `ConfigError` unless the file's ending is one of `FORMATS`."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: unknown format; expected a name in {', '.join(FORMATS)}")


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


def _read(path: Path, name: str, column: str) -> NDArray[Any]:
    check_format(path)
    try:
        if path.suffix == ".parquet":
            return _read_column(path, column)
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        names = loaded.files
        if name not in names and len(names) != 1:
            raise ConfigError(f"{path}: expected an array named {name}, found {', '.join(names)}")
        array: NDArray[Any] = loaded[name if name in names else names[0]]
        return array
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _read_column(path: Path, column: str) -> NDArray[Any]:
    names = pq.read_schema(path).names
    if column not in names:
        raise ConfigError(f"{path}: expected a column named {column}, found {', '.join(names)}")
    values = pq.read_table(path, columns=[column]).column(column).combine_chunks()
    if not pa.types.is_nested(values.type):
        array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
        return array.astype(str) if array.dtype == object else array
    flat = values.flatten().to_numpy(zero_copy_only=False)
    if len(values) == 0 or len(flat) % len(values):
        raise ConfigError(f"{path}: the lists in column {column} differ in length")
    rows: NDArray[Any] = flat.reshape(len(values), -1)
    return rows

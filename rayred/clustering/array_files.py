"""Embeddings and labels from files, and the rows kept of them into a file.

Legend: N rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred.clustering.groups import redundant_groups
from rayred.clustering.numpy_files import read_numpy_file
from rayred.clustering.parquet_columns import read_lists, read_values
from rayred.errors import ConfigError, DataError, RayredError
from rayred.files import replacing, write_array
from rayred.outputs import Sources, check_output_file

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
        The file to write, see `write_groups`; an earlier file is replaced.

    Returns
    -------
    kept, rows
        How many rows are kept, of how many.

    Raises
    ------
    ConfigError
        The fraction or the name of a file cannot be used, `out` cannot be written, or is one of the
        files that are read.
    DataError
        A file cannot be read, or a row of it cannot be used; the message names it.
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"--keep {keep:g}: expected a fraction in (0, 1]")
    check_format(out)
    check_output_file(out, Sources((embeddings, labels)))
    x = read_embeddings(embeddings)
    given = read_labels(labels, len(x))
    try:
        groups = redundant_groups(x, given, [keep])
    except ValueError as error:
        raise DataError(f"{embeddings}: {error}") from error
    kept = groups.kept[keep]
    write_groups(out, kept, given, groups.trees.groups(keep))
    return len(kept), len(x)


def read_embeddings(path: Path) -> NDArray[Any]:
    """Return the (N, D) embeddings in a file, of their own dtype.

    They are floats of any width, integers or booleans. Nothing is rounded here. The linkage scales
    rows to length 1 in float64: integers beyond 2⁵³ are rounded to 53 bits there, as the scaled
    rows are.

    `.npy`: the array, memory-mapped. `.npz`: the array named embeddings, or the only one.
    `.parquet`: the column named embedding, of lists that are all of one length.

    Raises
    ------
    ConfigError
        The file's name has another ending.
    DataError
        The file cannot be read, or holds no such array; nothing is ever unpickled.
    """
    array = _read(path, "embeddings", lambda: read_lists(path, "embedding"))
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: expected embeddings that are floats, integers or booleans, got dtype"
            f" {array.dtype}"
        )
    if array.ndim != 2:
        raise DataError(f"{path}: expected embeddings of shape (n, d), got shape {array.shape}")
    return array


def read_labels(path: Path, n_rows: int) -> NDArray[Any]:
    """Return the (N,) labels in a file: integers or booleans of their own dtype, or text.

    Text is an array of dtype object that holds `str`; bytes are decoded from UTF-8.

    `.npy`: the array. `.npz`: the array named labels, or the only one. `.parquet`: the column
    named label; of a dictionary, its values.

    Parameters
    ----------
    path
        The file.
    n_rows
        N.

    Raises
    ------
    ConfigError
        The file's name has another ending.
    DataError
        The file cannot be read, its labels are not one a row or of another type, or one is null.
    """
    labels = _read(path, "labels", lambda: read_values(path, "label"))
    if labels.shape != (n_rows,):
        raise DataError(
            f"{path}: expected {n_rows} labels, one an embedding, got shape {labels.shape}"
        )
    if labels.dtype.kind in "USO":
        return _as_text(path, labels)
    if labels.dtype.kind not in "iub":
        raise DataError(f"{path}: expected integer or text labels, got dtype {labels.dtype}")
    return labels.astype(labels.dtype.newbyteorder("="))


def read_rows(path: Path) -> NDArray[np.int64]:
    """Return the rows in a file, (n,) int64, ascending and each once.

    `.npy`: the array. `.npz`: the array named kept, or the only one. `.parquet`: the column row of
    those whose column kept is true, as `write_groups` writes them.

    Raises
    ------
    ConfigError
        The file's name has another ending.
    DataError
        The file cannot be read, or holds no rows, or one of them twice.
    """

    def read_kept() -> NDArray[Any]:
        rows: NDArray[Any] = read_values(path, "row")[read_values(path, "kept").astype(bool)]
        return rows

    rows = _read(path, "kept", read_kept)
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DataError(
            f"{path}: expected rows, whole numbers of shape (n,), got dtype {rows.dtype} and shape"
            f" {rows.shape}"
        )
    found = np.unique(rows.astype(np.int64))
    if len(found) < len(rows):
        raise DataError(f"{path}: {len(rows) - len(found):,} of its rows are there twice")
    return np.asarray(found, dtype=np.int64)


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
            write_array(temporary, kept)
        elif path.suffix == ".npz":
            np.savez(temporary, kept=kept, groups=groups)
        else:
            rows = np.arange(len(labels))
            columns = {"row": rows, "label": labels, "group": groups, "kept": np.isin(rows, kept)}
            pq.write_table(pa.table(columns), temporary)


def _read(path: Path, name: str, read_column: Callable[[], NDArray[Any]]) -> NDArray[Any]:
    """Return the array of a name, or the column, from a regular file; whatever fails names it."""
    check_format(path)
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
            found = "is a folder" if path.is_dir() else "is not a regular file"
            raise DataError(f"{path}: {found}; expected a file")
        with path.open("rb") as file:
            if not file.read(1):
                raise DataError(f"{path}: is empty; expected a file with values")
        return read_column() if path.suffix == ".parquet" else read_numpy_file(path, name)
    except RayredError:
        raise
    except Exception as error:  # of any type: what NumPy, zipfile and pyarrow stumble over
        raise DataError(f"{path}: cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return in one line why a file cannot be read."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = " ".join((str(error) or type(error).__name__).split()).rstrip(".")
    if isinstance(error, MemoryError):
        return said
    return f"{said}; it is cut, damaged or of another format"


def _as_text(path: Path, labels: NDArray[Any]) -> NDArray[Any]:
    """Return (N,) texts, or bytes in UTF-8, as `str`."""
    is_utf32 = labels.dtype.kind == "U"
    if is_utf32:  # as bytes: NumPy raises SystemError at a number that is no character
        labels = labels.astype(labels.dtype.newbyteorder("<")).view(f"V{labels.dtype.itemsize}")
    texts = np.empty(len(labels), object)
    for row, label in enumerate(labels):
        try:
            if is_utf32:
                texts[row] = label.tobytes().decode("utf-32-le").rstrip("\0")
            else:
                texts[row] = label.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: row {row} is no Unicode text; expected integer or text labels"
            ) from error
    return texts

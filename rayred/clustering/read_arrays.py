"""Embeddings and labels from files, as they are or not at all.

Legend: N rows, D dimensions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred.errors import ConfigError

FORMATS = (".npy", ".npz", ".parquet")
EXACT = 2**53
"""Largest integer up to which all are exact in float64."""


def read_embeddings(path: Path) -> NDArray[Any]:
    """Return the (N, D) embeddings in a file, floats or integers of the type that they have.

    `.npy`: the array, which is mapped into memory. `.npz`: the array named embeddings, or the only
    one. `.parquet`: the column named embedding, lists of numbers.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds no such array of real numbers.
    """
    array = _read(path, "embeddings", "embedding")
    if array.ndim != 2 or 0 in array.shape:
        raise ConfigError(f"{path}: expected embeddings of shape (n, d), got shape {array.shape}")
    if array.dtype.kind not in "fiub":
        raise ConfigError(
            f"{path}: expected embeddings of floats or integers, got dtype {array.dtype}"
        )
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        low, high = int(array.min()), int(array.max())
        if low < -EXACT or high > EXACT:
            raise ConfigError(
                f"{path}: has integers from {low} to {high}; expected none beyond 2**53, up to"
                " which all are exact in float64"
            )
    return array


def read_labels(path: Path, n_rows: int) -> NDArray[Any]:
    """Return the (N,) labels in a file: integers, text, or true and false.

    `.npy`: the array. `.npz`: the array named labels, or the only one. `.parquet`: the column
    named label, of which categories count by their values.

    Raises
    ------
    ConfigError
        The file cannot be read, has other labels or none in a row, or not one label a row.
    """
    labels = _read(path, "labels", "label")
    if labels.shape != (n_rows,):
        raise ConfigError(
            f"{path}: expected {n_rows} labels, one an embedding, got shape {labels.shape}"
        )
    if labels.dtype.kind == "S":
        try:
            return np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: labels of bytes have to be UTF-8 text: {error}") from error
    if labels.dtype.kind not in "iuUb":
        raise ConfigError(f"{path}: expected integer or text labels, got dtype {labels.dtype}")
    return labels


def check_format(path: Path) -> None:
    """Raise `ConfigError` unless the file's ending is one of `FORMATS`."""
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path}: unknown format; expected a name in {', '.join(FORMATS)}")


def _read(path: Path, name: str, column: str) -> NDArray[Any]:
    check_format(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise ConfigError(f"{path}: cannot be read: {what}")
    if path.stat().st_size == 0:
        raise ConfigError(f"{path}: cannot be read: the file is empty")
    try:
        return _read_column(path, column) if path.suffix == ".parquet" else _load(path, name)
    except ConfigError:
        raise
    except MemoryError as error:
        raise ConfigError(f"{path}: cannot be read: it does not fit into memory") from error
    # Any exception at all: damaged files make NumPy's, zipfile's and Arrow's parsers raise
    # whatever they stumble over.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path}: cannot be read: {reason[:200]}") from error


def _load(path: Path, name: str) -> NDArray[Any]:
    if path.suffix == ".npy":
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped
    with np.load(path, allow_pickle=False) as arrays:
        names = arrays.files
        if name not in names and len(names) != 1:
            raise ConfigError(
                f"{path}: expected an array named {name}, found {', '.join(names) or 'none'}"
            )
        array: NDArray[Any] = arrays[name if name in names else names[0]]
        return array


def _read_column(path: Path, column: str) -> NDArray[Any]:
    """Return a column as an array: (N,) of plain values, (N, D) of lists."""
    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    if column not in names:
        raise ConfigError(f"{path}: expected a column named {column}, found {', '.join(names)}")
    where, kind = f"{path}: column {column}", file.schema_arrow.field(column).type
    try:
        values = file.read(columns=[column]).column(column).combine_chunks()
    except pa.ArrowInvalid as error:
        if pa.types.is_fixed_size_list(kind):  # which Arrow cannot read where a row is null
            raise ConfigError(f"{where}: a row is null; expected {kind} in every row") from error
        raise
    if values.null_count:
        row = pc.index(pc.is_null(values), True).as_py()
        raise ConfigError(f"{where}: row {row} is null; expected a value in every row")
    if pa.types.is_dictionary(kind):
        values, kind = values.dictionary_decode(), kind.value_type
    if _is_list(kind):
        return _rows(values, where)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        values, kind = values.cast(pa.large_string()), pa.large_string()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return np.array(values.to_pylist(), dtype=str)
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)):
        raise ConfigError(f"{where} is {kind}; expected lists of numbers, integers or text")
    array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return array


def _rows(lists: pa.Array, where: str) -> NDArray[Any]:
    """Return lists of numbers, all of one length, as an (N, D) array."""
    inner = lists.type.value_type
    if not (pa.types.is_floating(inner) or pa.types.is_integer(inner)):
        raise ConfigError(f"{where} is {lists.type}; expected lists of numbers")
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    width = int(lengths[0]) if len(lengths) else 0
    others = np.flatnonzero(lengths != width)
    if len(others):
        row = int(others[0])
        raise ConfigError(
            f"{where}: row {row} has {lengths[row]} numbers, row 0 has {width}; expected as many"
        )
    flat = lists.flatten()
    if flat.null_count:
        row = pc.index(pc.is_null(flat), True).as_py() // width
        raise ConfigError(f"{where}: row {row} has a null; expected a number in every place")
    rows: NDArray[Any] = flat.to_numpy(zero_copy_only=False).reshape(len(lists), width)
    return rows


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )

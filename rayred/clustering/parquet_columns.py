"""Columns of Parquet files as arrays: lists of numbers as a matrix, and plain values.

A missing value is refused and named by its row. NumPy has no place for one, and pyarrow would leave
out a list that is null, and turn integers into floats and text into objects.

Legend: N rows, D numbers in every list, n rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import types

from rayred.clustering.numpy_files import listed
from rayred.errors import DataError

BATCH_ROWS = 8192
"""Rows that are decoded at a time."""

_LISTS = (
    types.is_list,
    types.is_large_list,
    types.is_fixed_size_list,
    types.is_list_view,
    types.is_large_list_view,
)
_NUMBERS = (types.is_floating, types.is_integer, types.is_boolean)
_TEXT = (
    types.is_string,
    types.is_large_string,
    types.is_string_view,
    types.is_binary,
    types.is_large_binary,
    types.is_binary_view,
    types.is_fixed_size_binary,
)


def read_lists(path: Path, column: str) -> NDArray[Any]:
    """Return a column of lists of numbers as an (N, D) array of the numbers' own dtype.

    Raises
    ------
    DataError
        There is no such column, it is of another type, a list or a number of it is null, or the
        lists differ in length; the message names the row of the file, counted from 0.
    Exception
        pyarrow raises errors of many types at a damaged file.
    """
    parts: list[NDArray[Any]] = []
    with _opened(path, column) as (file, kind):
        lists = _storage(kind)
        if not (_is_any(lists, _LISTS) and _is_any(lists.value_type, _NUMBERS)):
            raise DataError(
                f"{path}: column {column} is of type {kind}; expected lists of floats, integers or"
                " booleans"
            )
        try:
            for first, values in _batches(path, file, column):
                width = parts[0].shape[1] if parts else None
                parts.append(_as_matrix(path, values, first, width))
        except pa.ArrowInvalid as error:
            # pyarrow reads no list of fixed size that is null, and its message names another row.
            if not types.is_fixed_size_list(lists):
                raise
            row = _first_undecodable(path, file, column)
            raise DataError(
                f"{path}: row {row} is null or damaged; expected {lists.list_size} numbers in every"
                " row"
            ) from error
    return np.concatenate(parts)


def read_values(path: Path, column: str) -> NDArray[Any]:
    """Return a column of integers or booleans, (N,), or one of text as bytes, (N,) of dtype object.

    The values of a dictionary count as those of the column.

    Raises
    ------
    DataError
        There is no such column, it is of another type, or a value of it is null; the message names
        the row of the file, counted from 0.
    Exception
        pyarrow raises errors of many types at a damaged file.
    """
    parts: list[NDArray[Any]] = []
    with _opened(path, column) as (file, kind):
        plain = kind.value_type if types.is_dictionary(kind) else kind
        is_text = _is_any(plain, _TEXT)
        if types.is_null(plain):
            raise DataError(f"{path}: row 0 is null; expected an integer or text in every row")
        if not (is_text or types.is_integer(plain) or types.is_boolean(plain)):
            raise DataError(
                f"{path}: column {column} is of type {kind}; expected integer or text labels"
            )
        for first, encoded in _batches(path, file, column):
            values = encoded.dictionary_decode() if types.is_dictionary(kind) else encoded
            _refuse_null(path, values, first, "an integer or text")
            if is_text:
                parts.append(np.array(values.cast(pa.large_binary()).to_pylist(), object))
            else:
                parts.append(values.to_numpy(zero_copy_only=False))
    return np.concatenate(parts)


@contextmanager
def _opened(path: Path, column: str) -> Iterator[tuple[pq.ParquetFile, pa.DataType]]:
    """Yield an open file that has rows, and the type of the one column of a name."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        names = file.schema_arrow.names
        if names.count(column) != 1:
            raise DataError(f"{path}: expected one column named {column}, found {listed(names)}")
        if file.metadata.num_rows < 1:
            raise DataError(f"{path}: has no rows; expected at least one")
        yield file, file.schema_arrow.field(column).type


def _batches(
    path: Path, file: pq.ParquetFile, column: str, size: int = BATCH_ROWS
) -> Iterator[tuple[int, pa.Array]]:
    """Yield the first row and the values of one batch after another of a column."""
    first = 0
    for batch in file.iter_batches(size, columns=[column]):
        values = batch.column(batch.schema.get_field_index(column))
        values.validate(full=True)  # else what a damaged file refers to is read outside of memory
        yield first, values
        first += len(values)
    if first != file.metadata.num_rows:
        raise DataError(
            f"{path}: cannot be read: has {first:,} of {file.metadata.num_rows:,} rows; it is"
            " damaged"
        )


def _as_matrix(path: Path, values: pa.Array, first: int, width: int | None) -> NDArray[Any]:
    """Return lists as an (n, D) array.

    Parameters
    ----------
    path
        The file.
    values
        (n,) lists of numbers.
    first
        Row of the file that the first of them is.
    width
        D, unless these are the first lists of the file.
    """
    _refuse_null(path, values, first, "a list of numbers")
    lists = values.storage if isinstance(values, pa.ExtensionArray) else values
    lengths = pc.list_value_length(lists).to_numpy()
    width = int(lengths[0]) if width is None else width
    if not width:
        raise DataError(f"{path}: row {first} is an empty list; expected a list of numbers")
    others = np.flatnonzero(lengths != width)
    if len(others):
        row = int(others[0])
        raise DataError(
            f"{path}: row {first + row} has {lengths[row]} numbers, row 0 has {width}; expected as"
            " many in every row"
        )
    flat = lists.flatten()
    if flat.null_count:
        row = first + _first_null(flat) // width
        raise DataError(f"{path}: row {row} has a number that is null; expected numbers only")
    matrix: NDArray[Any] = flat.to_numpy(zero_copy_only=False).reshape(len(lists), width)
    return matrix


def _storage(kind: pa.DataType) -> pa.DataType:
    """Return the list that a tensor of one dimension is; any other type as it is."""
    is_vector = isinstance(kind, pa.FixedShapeTensorType) and len(kind.shape) == 1
    return kind.storage_type if is_vector else kind


def _is_any(kind: pa.DataType, predicates: tuple[Any, ...]) -> bool:
    return any(predicate(kind) for predicate in predicates)


def _refuse_null(path: Path, values: pa.Array, first: int, expected: str) -> None:
    if values.null_count:
        row = first + _first_null(values)
        raise DataError(f"{path}: row {row} is null; expected {expected} in every row")


def _first_null(values: pa.Array) -> int:
    return int(values.is_null().to_numpy(zero_copy_only=False).argmax())


def _first_undecodable(path: Path, file: pq.ParquetFile, column: str) -> int:
    row = 0
    try:
        for first, _ in _batches(path, file, column, size=1):
            row = first + 1
    except pa.ArrowInvalid:
        pass
    return row

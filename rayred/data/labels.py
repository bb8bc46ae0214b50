"""Labels as class names, whatever their type is in a file.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rayred.data.listing import ONE_CLASS, normalised
from rayred.errors import DataError

Labels = tuple[NDArray[np.int64], tuple[str, ...]]
"""(N,) indices into the class names, -1 where there is no label; and the class names."""


def read_labels(column: pa.ChunkedArray, names: Sequence[str] | None, where: str) -> Labels:
    """Return the labels in a column of integers, text, categories or truth values.

    Parameters
    ----------
    column
        N labels, of which some may be null.
    names
        Class names that integers are indices into, of which -1 stands for none; else every
        distinct value is a class of its own, in ascending order.
    where
        File and column, for messages.

    Raises
    ------
    DataError
        The column has another type, or an index has no name.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_null(kind):
        return np.full(len(column), -1), tuple(names or ())
    integers = pa.types.is_integer(kind)
    if not (integers or pa.types.is_boolean(kind) or is_text(kind)):
        raise DataError(
            f"{where}: is {kind}; expected integers, text, categories or true and false"
        )
    if names is not None and integers:
        return _indices(column, names, where), tuple(map(normalised, names))
    values = pa.array(sorted(pc.unique(column).drop_null().to_pylist()), kind)
    labels = pc.fill_null(pc.index_in(column, values), -1).to_numpy().astype(np.int64)
    classes = [normalised(_text(value)) for value in values.to_pylist()]
    return _merged(labels, classes)


def one_class(n: int) -> Labels:
    """Return the labels of N rows that have none, and are one class."""
    return np.zeros(n, np.int64), ONE_CLASS


def join_labels(parts: Sequence[Labels]) -> Labels:
    """Return the labels of several files as one, their classes matched by name."""
    classes: dict[str, int] = {}
    for _, names in parts:
        for name in names:
            classes.setdefault(name, len(classes))
    joined = []
    for labels, names in parts:
        known = np.array([classes[name] for name in names] + [-1], np.int64)
        joined.append(known[labels])
    return np.concatenate(joined), tuple(classes)


def _indices(column: pa.ChunkedArray, names: Sequence[str], where: str) -> NDArray[np.int64]:
    low, high = (value.as_py() for value in pc.min_max(column).values())
    if low is not None and not -1 <= low <= high < len(names):
        raise DataError(
            f"{where}: labels run from {low} to {high}, but there are {len(names)} class names"
        )
    labels: NDArray[np.int64] = pc.fill_null(column, -1).to_numpy().astype(np.int64)
    return labels


def _merged(labels: NDArray[np.int64], classes: Sequence[str]) -> Labels:
    """Make one class of those whose normalised names are equal."""
    unique = {name: label for label, name in enumerate(dict.fromkeys(classes))}
    new = np.array([unique[name] for name in classes] + [-1], np.int64)
    return new[labels], tuple(unique)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column holds text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

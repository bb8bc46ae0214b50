"""The rows of each class, by labels of any kind.

Legend: N rows, C classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_KINDS_OF_LABELS = (str, bytes, (int, np.integer, np.bool_))
"""What the labels of an object array may be; all are of one kind."""


def rows_of_classes(labels: ArrayLike, n_rows: int) -> list[NDArray[np.int64]]:
    """Return the rows of each class, C arrays of int64 ascending, by ascending label.

    Parameters
    ----------
    labels
        (N,) integers, booleans or text.
    n_rows
        N.

    Raises
    ------
    ValueError
        The labels are not one a row, of another kind, or one of them is missing.
    """
    # NumPy alone would make text of a list in which one label is missing.
    array = np.array(labels, object) if isinstance(labels, (list, tuple)) else np.asarray(labels)
    if array.shape != (n_rows,):
        raise ValueError(f"expected {n_rows} labels, one a row, got shape {array.shape}")
    if array.dtype == object:
        _check_objects(array)
    elif array.dtype.kind not in "iubUS":
        raise ValueError(f"expected integer or text labels, got dtype {array.dtype}")
    _, classes = np.unique(array, return_inverse=True)
    return np.split(np.argsort(classes, kind="stable"), np.cumsum(np.bincount(classes))[:-1])


def _check_objects(labels: NDArray[Any]) -> None:
    kind = next((kind for kind in _KINDS_OF_LABELS if isinstance(labels[0], kind)), str)
    for row, label in enumerate(labels):
        if not isinstance(label, kind):
            raise ValueError(
                f"row {row} has the label {label!r}; expected integers, or text, in every row"
            )

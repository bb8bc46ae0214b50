"""What every back end asks of its input: finite rows of length one.

Legend: N rows, D dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_matrix(x: ArrayLike) -> NDArray[Any]:
    """Return `x` as an array, (N, D).

    Raises
    ------
    ValueError
        `x` is not a non-empty two-dimensional array of real numbers.
    """
    array = np.asarray(x)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"expected a non-empty array of shape (n, d), got shape {array.shape}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected real numbers, got dtype {array.dtype}")
    return array


def as_unit_rows(x: ArrayLike) -> NDArray[np.float64]:
    """Return the rows of `x` scaled to length 1, (N, D) float64.

    Raises
    ------
    ValueError
        As of `as_matrix`; or a number is not finite, or a row is zero.
    """
    rows = as_matrix(x).astype(np.float64)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise ValueError(f"row {int(np.argmin(finite))} has a value that is NaN or infinite")
    # Scaled by the largest entry first, so that no square under- or overflows.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if not largest.all():
        raise ValueError(
            f"row {int(np.argmin(largest))} is all zero: its cosine distance is undefined"
        )
    rows /= largest
    unit: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def check_n_clusters(n_clusters: int, n_rows: int) -> None:
    """Raise `ValueError` unless `n_rows` rows can be put into `n_clusters` clusters."""
    if not 1 <= n_clusters <= n_rows:
        raise ValueError(f"n_clusters is {n_clusters}; expected 1 to {n_rows}, the number of rows")

"""One space whose cosine distances are the means of the cosine distances in several.

With rows of length 1 of all R spaces side by side, every row has the length √R, and the cosine of
two rows is the sum of their cosines divided by R. So all that works on embeddings works on the mean
of distances too.

Legend: N rows, R spaces, D_r dimensions of space r.

>>> import numpy as np
>>> first, second = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[3.0], [3.0]])
>>> (x,) = mean_space([first, second])  # distances 1 and 0
>>> float(1 - x[0] @ x[1] / 2)
0.5
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.files import write_rows
from rayred.linkage.rows import as_unit_rows, unusable_rows

BLOCK_ROWS = 8_192
"""Rows that are in memory at a time."""


def mean_space(spaces: Sequence[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of the space of the mean distance, some at a time.

    A row that is all zero has no direction. As elsewhere (`rayred.clustering.checks`) such rows of
    a space count as equal to each other there and orthogonal to all others: the space gets a column
    in which they alone are not 0. No row of the result is all zero.

    Parameters
    ----------
    spaces
        R arrays (N, D_r) of finite numbers, for example memory maps.

    Yields
    ------
    rows
        (some, Σ D_r) float32, with a column more for each space that has rows of zeros.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    has_zeros = [len(unusable_rows(x)[1]) > 0 for x in spaces]
    for first in range(0, len(spaces[0]), BLOCK_ROWS):
        parts = [
            _directions(x[first : first + BLOCK_ROWS], zeros)
            for x, zeros in zip(spaces, has_zeros, strict=True)
        ]
        yield np.concatenate(parts, axis=1, dtype=np.float32)


def _directions(x: NDArray[Any], has_zeros: bool) -> NDArray[np.float64]:
    """Return rows of length 1, with a column in which rows of zeros are 1 if there are some."""
    if has_zeros:
        x = np.concatenate([x, ~np.any(x, axis=1, keepdims=True)], axis=1, dtype=x.dtype)
    return as_unit_rows(x)


def save_mean_space(path: Path, spaces: Sequence[NDArray[Any]]) -> None:
    """Write the rows of the space of the mean distance to a .npy file."""
    write_rows(path, len(spaces[0]), mean_space(spaces))

"""The nearest row of another set of rows, by cosine distance.

Legend: N rows, M other rows, D embedding dimensions.

>>> nearest_rows(np.array([[1.0, 0.1]]), np.array([[0.0, 1.0], [1.0, 0.0]])).other
array([1])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rayred.clustering.checks import with_directions
from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import unit_rows

ROWS_AT_A_TIME = 2**12
"""Rows of either set that are compared at a time: their products take 128 MB."""


@dataclass(frozen=True)
class Nearest:
    """The nearest other row of each row."""

    other: NDArray[np.int64]
    """(N,) that row; of equally near ones the first."""
    distance: NDArray[np.float64]
    """(N,) cosine distance to it, 0 to 2."""


def nearest_rows(
    x: NDArray[Any], others: NDArray[Any], report: Callable[[int], object] | None = None
) -> Nearest:
    """Find the nearest other row of each row, exactly, in float64.

    Rows that are all zero are equal to each other and orthogonal to all others.

    Parameters
    ----------
    x, others
        (N, D) and (M, D) embeddings, all of them finite, M at least 1; for example memory maps, of
        which a part at a time is read.
    report
        Called with the number of rows of which the nearest is found since the last call.

    Raises
    ------
    ValueError
        They have different numbers of columns.
    """
    if x.shape[1] != others.shape[1]:
        raise ValueError(f"{others.shape[1]} columns, where there are {x.shape[1]}")
    found = np.zeros(len(x), np.int64)
    distance = np.full(len(x), np.inf)
    for first in range(0, len(x), ROWS_AT_A_TIME):
        rows = slice(first, first + ROWS_AT_A_TIME)
        for start in range(0, len(others), ROWS_AT_A_TIME):
            other, measured = _nearest(x[rows], others[start : start + ROWS_AT_A_TIME])
            closer = measured < distance[rows]
            found[rows][closer] = start + other[closer]
            distance[rows][closer] = measured[closer]
        if report is not None:
            report(len(found[rows]))
    return Nearest(found, distance)


def _nearest(
    x: NDArray[Any], others: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest of some other rows for each of some rows, and the distances."""
    n = len(x)
    unit = unit_rows(with_directions(np.concatenate([x, others])))
    products = unit[:n] @ unit[n:].T
    # A product and a distance both err by D roundings at most: all that may be nearest is measured.
    slack = 4 * (unit.shape[1] + 2) * torch.finfo(products.dtype).eps
    ours, theirs = torch.nonzero(products >= products.amax(1, keepdim=True) - slack, as_tuple=True)
    measured = pair_distances(unit, ours, n + theirs).numpy()
    # In the order of rows, of distances and of other rows: the first of each row is the nearest.
    order = np.lexsort([theirs.numpy(), measured, ours.numpy()])
    firsts = order[np.searchsorted(ours.numpy()[order], np.arange(n))]
    return theirs.numpy()[firsts], measured[firsts]

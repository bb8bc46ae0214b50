"""The nearest row of another set of rows, by cosine distance.

Legend: N rows, M other rows, D embedding dimensions.

>>> nearest_rows(np.array([[1.0, 0.1]]), np.array([[0.0, 1.0], [1.0, 0.0]])).other
array([1])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rayred.clustering.checks import with_directions
from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import unit_rows

ROWS_AT_A_TIME = 2**13
"""Rows of either set that are compared at a time: their products take half a GB."""


@dataclass(frozen=True)
class Nearest:
    """The nearest other row of each row."""

    other: NDArray[np.int64]
    """(N,) that row; of equally near ones the first."""
    distance: NDArray[np.float64]
    """(N,) cosine distance to it, 0 to 2."""


def nearest_rows(x: NDArray[Any], others: NDArray[Any]) -> Nearest:
    """Find the nearest other row of each row, exactly, in float64.

    Rows that are all zero are equal to each other and orthogonal to all others.

    Parameters
    ----------
    x, others
        (N, D) and (M, D) embeddings, M at least 1, for example memory maps, of which a part at a
        time is read.

    Raises
    ------
    ValueError
        They have different numbers of columns.
    """
    if x.shape[1] != others.shape[1]:
        raise ValueError(f"{others.shape[1]} columns, where there are {x.shape[1]}")
    found = np.empty(len(x), np.int64)
    distance = np.empty(len(x))
    for first in range(0, len(x), ROWS_AT_A_TIME):
        rows = slice(first, first + ROWS_AT_A_TIME)
        found[rows], distance[rows] = _nearest(x[rows], others)
    return Nearest(found, distance)


def _nearest(
    x: NDArray[Any], others: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest other row of each of some rows, and their distances."""
    found = np.zeros(len(x), np.int64)
    distance = np.full(len(x), np.inf)
    for first in range(0, len(others), ROWS_AT_A_TIME):
        unit = unit_rows(
            with_directions(np.concatenate([x, others[first : first + ROWS_AT_A_TIME]]))
        )
        ours, theirs = torch.arange(len(x)), (unit[: len(x)] @ unit[len(x) :].T).argmax(1)
        measured = pair_distances(unit, ours, len(x) + theirs).numpy()
        closer = measured < distance
        found[closer] = first + theirs.numpy()[closer]
        distance[closer] = measured[closer]
    return found, distance

"""Which kept row stands for each row of a data set, and how far it is.

Legend: N rows, D embedding dimensions, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rayred.clustering.checks import with_directions
from rayred.clustering.nearest import nearest_rows
from rayred.clustering.trees import ClassTrees
from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import unit_rows


@dataclass(frozen=True)
class Standing:
    """What stands for each row."""

    group: NDArray[np.int64]
    """(N,) the redundant group of each row."""
    representative: NDArray[np.int64]
    """(N,) the row that is kept of that group."""
    distance: NDArray[np.float64]
    """(N,) cosine distance of each row to it; 0 for rows that are kept."""

    @classmethod
    def of(
        cls, x: NDArray[Any], trees: ClassTrees, counts: Sequence[int], kept: NDArray[np.int64]
    ) -> Standing:
        """Measure what stands for each row.

        Parameters
        ----------
        x
            (N, D) embeddings, for example a memory map, of which one class after another is read.
        trees
            Trees of the classes.
        counts
            C numbers of groups, one a class.
        kept
            One row of each group.
        """
        group = trees.groups_at(counts)
        of_group = np.empty(len(kept), np.int64)
        of_group[group[kept]] = kept
        representative = of_group[group]
        distance = np.zeros(len(group))
        for rows in trees.members:
            others = np.flatnonzero(representative[rows] != rows)
            unit = unit_rows(with_directions(x[rows]))
            places = np.searchsorted(rows, representative[rows[others]])
            pairs = torch.from_numpy(others), torch.from_numpy(places)
            distance[rows[others]] = pair_distances(unit, *pairs).numpy()
        return cls(group, representative, distance)

    @classmethod
    def nearest(
        cls, x: NDArray[Any], members: Sequence[NDArray[np.int64]], kept: NDArray[np.int64]
    ) -> Standing:
        """Let the nearest kept row of its class stand for each row; of equally near ones the first.

        Parameters
        ----------
        x
            (N, D) embeddings, of which one class after another is read.
        members
            The rows of each class, int64 ascending; each has a kept row.
        kept
            (n,) int64 ascending, the rows kept.
        """
        representative = np.empty(len(x), np.int64)
        distance = np.empty(len(x))
        for rows in members:
            chosen = rows[np.isin(rows, kept)]
            nearest = nearest_rows(x[rows], x[chosen])
            representative[rows], distance[rows] = chosen[nearest.other], nearest.distance
        representative[kept], distance[kept] = kept, 0
        return cls(np.searchsorted(kept, representative), representative, distance)


def highest_of_groups(group: NDArray[np.int64], value: NDArray[Any]) -> NDArray[np.int64]:
    """Return the row with the highest value of each group, (n,) int64 ascending.

    Of equal values, that of the lowest row.

    Parameters
    ----------
    group, value
        (N,) group and value of each row.

    >>> highest_of_groups(np.array([0, 1, 0, 1]), np.array([1, 5, 3, 5]))
    array([1, 2])
    """
    order = np.lexsort([np.arange(len(group)), -value, group])
    opens = np.diff(group[order], prepend=-1) != 0
    return np.sort(order[opens])

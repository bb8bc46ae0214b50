"""The near pairs of the clusters of a group: found strip by strip, measured, the lowest kept.

Legend: N rows of the group, D dimensions, K clusters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rayred.linkage.boxes import Boxes
from rayred.linkage.farthest import farthest_pairs
from rayred.linkage.order import LowestPairs
from rayred.linkage.pairs import even_strips, near_pairs

STRIP_BLOCKS = 8
"""About the number of blocks of rows between two reports of progress."""

Candidates = tuple[Tensor, Tensor]
"""Positions of the two clusters of pairs that may be near, int64."""


@dataclass(frozen=True)
class Clusters:
    """The clusters of a group before a stage."""

    unit: Tensor
    """(N, D) float64 rows of length 1."""
    cluster: Tensor
    """(N,) int64, the cluster of every row, identified by its lowest row."""
    names: Tensor
    """(K,) int64, the clusters, in the order of the factors."""
    left: Tensor
    """A factor of K rows, as `rayred.linkage.pairs.near_pairs` takes it."""
    right: Tensor
    """The other factor."""
    floor: float
    """No two clusters are closer than this."""
    boxes: Boxes | None = None
    """Of the mean rows of the clusters, which are in the order of the boxes."""


def find_near(
    clusters: Clusters,
    lowest: LowestPairs,
    block: tuple[int, int],
    most: int | None,
    report: Callable[[float], None],
) -> bool:
    """Add the near pairs of clusters to the lowest pairs.

    Candidates are measured once there are half as many as `lowest` holds. If a single strip of rows
    has more, it is halved.

    Parameters
    ----------
    clusters
        The clusters.
    lowest
        Has the largest distance wanted, and holds 2 K pairs or more.
    block
        Rows and columns of a product in memory at a time.
    most
        Number of candidates beyond which the search ends, up to those that `lowest` holds; `None`:
        it does not.
    report
        Called with the share, 0 to 1, of the products that are done.

    Returns
    -------
    ended
        Whether the search has come to its end: if not, no pair has been added.
    """
    n = len(clusters.names)
    strips = even_strips(n, n // (STRIP_BLOCKS * block[0]) + 1)[::-1]
    waiting: list[Candidates] = []
    count = 0
    while strips:
        first, end = strips.pop()
        if lowest.has_none_from(int(clusters.names[first:].min()), clusters.floor):
            break
        room = (lowest.most // 2 if most is None else most) - count
        found = _candidates(clusters, lowest.limit, block, (first, end), room)
        if found is not None:
            waiting += found
            count += sum(len(i) for i, _ in found)
            report(1 - (1 - end / n) ** 2)
        elif most is not None:
            return False
        elif count:
            measure(clusters, lowest, waiting, block)
            count = 0
            strips.append((first, end))
        else:
            middle = (first + end) // 2
            strips += [(middle, end), (first, middle)]
    measure(clusters, lowest, waiting, block)
    return True


def measure(
    clusters: Clusters,
    lowest: LowestPairs,
    candidates: list[Candidates],
    block: tuple[int, int],
) -> None:
    """Measure candidates, and add those within the limit to the lowest pairs; clears the list."""
    names = clusters.names
    none = names[:0]
    a = names[torch.cat([none, *(i for i, _ in candidates)])]
    b = names[torch.cat([none, *(j for _, j in candidates)])]
    candidates.clear()
    if clusters.boxes is not None:
        a, b = torch.minimum(a, b), torch.maximum(a, b)
    whole_strips = clusters.boxes is None
    lowest.add(
        farthest_pairs(clusters.unit, clusters.cluster, a, b, lowest.limit, block, whole_strips)
    )


def _candidates(
    clusters: Clusters, limit: float, block: tuple[int, int], strip: tuple[int, int], most: int
) -> list[Candidates] | None:
    """Return the candidates of a strip of rows; if there are more than `most`, `None`."""
    found = []
    count = 0
    for i, j in near_pairs(clusters.left, clusters.right, limit, block, strip, clusters.boxes):
        found.append((i, j))
        count += len(i)
        if count > most:
            return None
    return found

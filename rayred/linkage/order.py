"""The order of pairs by (d, i, j), and the lowest of many pairs by it.

Legend: E pairs of clusters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rayred.linkage.farthest import FarthestPairs


class LowestPairs:
    """The lowest of many pairs of clusters, by (d, i, j) of their farthest pairs of rows.

    Pairs are added in any order. Whenever there are more than `most`, the lower half of that number
    is kept. So what is left are all pairs added up to the highest of them.
    """

    def __init__(self, limit: float, most: int) -> None:
        """Take the largest distance wanted, and the number of pairs to hold, 2 or more."""
        self.limit = limit
        """The largest distance of which a pair may still be kept."""
        self.most = most
        self.cut: tuple[int, int] | None = None
        """i and j of the highest pair that may be kept at the limit; `None`: all are kept."""
        self._parts: list[FarthestPairs] = []
        self._held = 0

    def add(self, found: FarthestPairs) -> None:
        """Add pairs."""
        kept = found.distance <= self.limit
        if self.cut is not None:
            i, j = self.cut
            higher = (found.i > i) | ((found.i == i) & (found.j > j))
            kept &= (found.distance < self.limit) | ~higher
        chosen = found.where(kept)
        self._parts.append(chosen)
        self._held += len(chosen.a)
        if self._held > self.most:
            self._keep_lower_half()

    def has_none_from(self, row: int, floor: float) -> bool:
        """Return whether no pair of rows of `row` or more, at `floor` or more, may be kept."""
        return self.cut is not None and self.limit <= floor and self.cut[0] < row

    def pairs(self) -> FarthestPairs:
        """Return the pairs kept, in no order; at least one part must have been added."""
        self._parts = [FarthestPairs.joined(self._parts)]
        return self._parts[0]

    def _keep_lower_half(self) -> None:
        found = self.pairs()
        order = ascending(found.distance, found.i, found.j)[: self.most // 2]
        lowest = found.chosen(order)
        self._parts, self._held = [lowest], len(order)
        self.limit = float(lowest.distance[-1])
        self.cut = int(lowest.i[-1]), int(lowest.j[-1])


def ascending(distance_E: Tensor, i_E: Tensor, j_E: Tensor) -> Tensor:
    """Return the order of pairs by (d, i, j), (E,) int64; no distance may be negative."""
    # Non-negative floats are in the order of their bits as integers, which have a radix sort.
    bits, order = distance_E.view(torch.int64).sort()
    equal = bits[1:] == bits[:-1]
    tied = torch.zeros_like(order, dtype=torch.bool)
    tied[1:] = equal
    tied[:-1] |= equal
    places = tied.nonzero().squeeze(1)
    if len(places):
        # Two sorts; the second, by distance, is stable and keeps the order by (i, j) within it.
        i, j = i_E[order[places]], j_E[order[places]]
        by_key = (i * (int(j.max()) + 1) + j).argsort()
        by_both = by_key[bits[places][by_key].argsort(stable=True)]
        order[places] = order[places][by_both]
    return order

"""The farthest pair of rows between two clusters: its distance is that of complete linkage.

Legend: R rows, D dimensions, K clusters, E pairs of clusters.

Of several pairs of rows at one distance, the farthest is the largest by (d, i, j) with i < j.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from rayred.linkage.pairs import pair_distances
from rayred.linkage.sorted_rows import SortedRows, by_cluster

MEASURED_PAIRS = 2**21
"""Number of pairs of rows that are measured at a time."""
DENSE_SHARE = 0.05
"""Share of all pairs of rows from which on products of all rows are cheaper than a list of pairs.

Measured: a listed pair takes 60 to 100 ns, an entry of the products 2 to 5 ns.
"""
TABLE_ENTRIES = 2**24
"""Most entries of a table of some clusters × all clusters, unless one cluster has more."""


Measured = tuple[Tensor, Tensor, Tensor, Tensor]
"""Distances of pairs of rows, the number of the pair of clusters of each, and the two rows."""


class FarthestPairs(NamedTuple):
    """Pairs of clusters, and the farthest pair of rows between the two of each."""

    a: Tensor
    """(E,) int64, the one cluster, identified by its lowest row."""
    b: Tensor
    """(E,) int64, the other cluster."""
    distance: Tensor
    """(E,) float64, the distance of the farthest pair of rows."""
    i: Tensor
    """(E,) int64, the lower row of that pair."""
    j: Tensor
    """(E,) int64, the higher row of that pair."""

    def chosen(self, places: Tensor) -> FarthestPairs:
        """Return the pairs at some places, in that order."""
        return FarthestPairs(*(values[places] for values in self))

    def where(self, kept_E: Tensor) -> FarthestPairs:
        """Return the pairs where (E,) booleans are true."""
        places = kept_E.nonzero().squeeze(1)
        return self if len(places) == len(kept_E) else self.chosen(places)

    @classmethod
    def none(cls, unit: Tensor) -> FarthestPairs:
        """Return no pairs, on the device of some rows."""
        rows = torch.empty(0, dtype=torch.int64, device=unit.device)
        return cls(rows, rows, unit.new_empty(0), rows, rows)

    @classmethod
    def joined(cls, parts: list[FarthestPairs]) -> FarthestPairs:
        """Return the pairs of several parts, at least one, part after part."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(torch.cat(values) for values in zip(*parts, strict=True)))


def farthest_pairs(
    unit_RD: Tensor,
    cluster_R: Tensor,
    a_E: Tensor,
    b_E: Tensor,
    limit: float,
    block: tuple[int, int],
    whole_strips: bool = True,
) -> FarthestPairs:
    """Return the pairs of clusters whose complete-linkage distance is at most a limit.

    Parameters
    ----------
    unit_RD
        (R, D) float64 rows of length 1.
    cluster_R
        (R,) int64, the cluster of every row, identified by its lowest row.
    a_E, b_E
        (E,) int64 candidates: pairs of clusters a < b.
    limit
        The largest distance wanted.
    block
        Rows and columns of a product in memory at a time.
    whole_strips
        Whether the candidates are at least all pairs within the limit of the clusters from the
        lowest to the highest a, which products find together.
    """
    if not len(a_E):
        return FarthestPairs.none(unit_RD)
    size_R = torch.bincount(cluster_R, minlength=len(cluster_R))
    expanded = int((size_R[a_E] * size_R[b_E]).sum())
    lowest, highest = int(a_E.min()), int(a_E.max())
    # Rows of those clusters, and all rows but those of lower clusters: sides of the products.
    before, upto = int(size_R[:lowest].sum()), int(size_R[: highest + 1].sum())
    products = (upto - before) * (len(cluster_R) - (before + upto) / 2)
    if expanded == len(a_E):  # clusters of one row each
        found = FarthestPairs(a_E, b_E, pair_distances(unit_RD, a_E, b_E), a_E, b_E)
    elif whole_strips and expanded > DENSE_SHARE * products:
        found = _by_products(unit_RD, cluster_R, (lowest, highest), limit, block)
    else:
        found = _by_list(unit_RD, cluster_R, a_E, b_E, limit)
    return found.where(found.distance <= limit)


def _by_list(unit: Tensor, cluster: Tensor, a: Tensor, b: Tensor, limit: float) -> FarthestPairs:
    """Measure every pair of rows of the candidates, but of those found to be beyond the limit."""
    sorted_rows = by_cluster(cluster)
    size = sorted_rows[1]
    parts = []
    for first, end in _runs(size[a] * size[b], MEASURED_PAIRS):
        one, other = a[first:end], b[first:end]
        within_limit = torch.ones_like(one, dtype=torch.bool)
        measured = _measure_in_steps(unit, sorted_rows, one, other, limit, within_limit)
        found = FarthestPairs(one, other, *_farthest_of_blocks(measured, len(one)))
        parts.append(found.where(within_limit))
    return FarthestPairs.joined(parts)


def _measure_in_steps(
    unit: Tensor,
    sorted_rows: tuple[Tensor, Tensor, Tensor],
    a: Tensor,
    b: Tensor,
    limit: float,
    within_limit: Tensor,
) -> Iterator[Measured]:
    """Measure one pair of rows of each candidate, then one more, then two, four and so on.

    A candidate is dropped once a pair of its rows is beyond the limit; its entry of `within_limit`,
    all true at first, becomes false.
    """
    members, size, start = sorted_rows
    width = size[b]
    count = size[a] * width
    done, step = 0, 1
    while len(going := (within_limit & (count > done)).nonzero().squeeze(1)):
        step = min(step, max(1, MEASURED_PAIRS // len(going)))
        taken = (count[going] - done).clamp_(max=step)
        pair = going.repeat_interleave(taken)
        opens = torch.cumsum(taken, 0) - taken - done
        within = torch.arange(len(pair), device=a.device) - opens.repeat_interleave(taken)
        row = torch.div(within, width[pair], rounding_mode="floor")
        i = members[start[a][pair] + row]
        j = members[start[b][pair] + within - row * width[pair]]
        distance = pair_distances(unit, i, j)
        within_limit[pair[distance > limit]] = False
        yield distance, pair, i, j
        done, step = done + step, done + step


def _by_products(
    unit: Tensor,
    cluster: Tensor,
    span: tuple[int, int],
    limit: float,
    block: tuple[int, int],
) -> FarthestPairs:
    """Look at all pairs of rows in float32, then measure those that may be the farthest.

    In strips of whole clusters, from the first to the last of `span`: first find the smallest −d of
    every pair of clusters; then, where it is within the limit, measure all entries that rounding
    cannot tell from the smallest.
    """
    rows = SortedRows.of(unit, cluster)
    sizes, names = rows.size[rows.names], rows.names
    # Few rows at a time: a strip needs a table of its own clusters × all clusters.
    height, width = min(block), max(block)
    at_a_time = min(height, max(1, TABLE_ENTRIES // len(names)))
    ends = torch.tensor([span[0], span[1] + 1], device=names.device)
    begin, stop = torch.searchsorted(names, ends).tolist()
    begins = [*rows.start[names].tolist(), len(unit)]
    parts = [FarthestPairs.none(unit)]
    for first, end in _runs(sizes[begin:stop], at_a_time, begin):
        tiles = [
            (slice(i, min(i + height, begins[end])), slice(j, min(j + width, len(unit))))
            for i in range(begins[first], begins[end], height)
            for j in range(begins[first], len(unit), width)
        ]
        smallest = rows.smallest_products(first, end, tiles)
        own = torch.arange(first, end, device=unit.device)
        after = torch.arange(len(names), device=unit.device) > own.unsqueeze(1)
        slack = rows.slack[first:end].unsqueeze(1) + rows.slack
        near = after & (smallest >= -(limit + slack))
        one, other = near.nonzero(as_tuple=True)
        a, b = names[one + first], names[other]
        if not len(a):
            continue
        listed = int((rows.size[a] * rows.size[b]).sum())
        if listed < DENSE_SHARE * (begins[end] - begins[first]) * (len(unit) - begins[first]):
            parts.append(_by_list(unit, cluster, a, b, limit))
            continue
        bound = torch.where(near, smallest + 3 * slack, -torch.inf)
        measured = rows.measure(unit, first, tiles, bound)
        parts.append(FarthestPairs(a, b, *_farthest_of_blocks(measured, len(a))))
    return FarthestPairs.joined(parts)


def _farthest_of_blocks(blocks: Iterator[Measured], count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return `_farthest` of pairs that come in blocks, of which few are in memory at a time."""
    held: list[Measured] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += len(block[0])
        if size > 2 * max(count, MEASURED_PAIRS):
            distance, pair, i, j = (torch.cat(values) for values in zip(*held, strict=True))
            distance, i, j = _farthest(distance, pair, i, j, count)
            seen = (distance >= 0).nonzero().squeeze(1)
            held, size = [(distance[seen], seen, i[seen], j[seen])], len(seen)
    distance, pair, i, j = (torch.cat(values) for values in zip(*held, strict=True))
    return _farthest(distance, pair, i, j, count)


def _farthest(
    distance: Tensor, pair: Tensor, i: Tensor, j: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the farthest pair of rows of each pair of clusters.

    Parameters
    ----------
    distance, i, j
        Measured pairs of rows, at least one of each pair of clusters; i and j in any order.
    pair
        The pair of clusters that each belongs to, 0 to `count` − 1.
    count
        Number of pairs of clusters, E.

    Returns
    -------
    distance, i, j
        (E,) of the largest pair by (d, i, j), with i < j.
    """
    i, j = torch.minimum(i, j), torch.maximum(i, j)
    largest = distance.new_full((count,), -1.0).scatter_reduce_(0, pair, distance, "amax")
    top = distance == largest[pair]
    rows = int(j.max()) + 1 if len(j) else 1
    key = i.new_zeros(count).scatter_reduce_(0, pair[top], (i * rows + j)[top], "amax")
    return largest, key // rows, key % rows


def _runs(sizes: Tensor, target: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """Cut a sequence into runs whose sizes add up to about the target.

    Yields the first item of each run and the one after its last, counted from `first`; an item
    larger than the target is not cut.
    """
    if not len(sizes):
        return
    ends = torch.cumsum(sizes, 0)
    cuts = torch.arange(target, max(int(ends[-1]), target), target, device=ends.device)
    places = {0, *torch.searchsorted(ends, cuts).tolist(), len(sizes)}
    yield from pairwise(first + place for place in sorted(places))

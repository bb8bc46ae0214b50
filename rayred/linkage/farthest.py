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


def farthest_pairs(
    unit_RD: Tensor,
    cluster_R: Tensor,
    a_E: Tensor,
    b_E: Tensor,
    limit: float,
    block: tuple[int, int],
) -> FarthestPairs:
    """Return the pairs of clusters whose complete-linkage distance is at most a limit.

    Parameters
    ----------
    unit_RD
        (R, D) float64 rows of length 1.
    cluster_R
        (R,) int64, the cluster of every row, identified by its lowest row.
    a_E, b_E
        (E,) int64 candidates: pairs of clusters a < b, at least all that are within the limit.
    limit
        The largest distance wanted.
    block
        Rows and columns of a product in memory at a time.
    """
    size_R = torch.bincount(cluster_R, minlength=len(cluster_R))
    expanded = int((size_R[a_E] * size_R[b_E]).sum())
    if len(a_E) and expanded == len(a_E):  # clusters of one row each
        found = FarthestPairs(a_E, b_E, pair_distances(unit_RD, a_E, b_E), a_E, b_E)
    elif expanded > DENSE_SHARE * len(cluster_R) ** 2 / 2:
        found = _by_products(unit_RD, cluster_R, limit, block)
    else:
        found = _by_list(unit_RD, cluster_R, a_E, b_E, limit)
    near = (found.distance <= limit).nonzero().squeeze(1)
    return FarthestPairs(*(values[near] for values in found))


def _by_list(unit: Tensor, cluster: Tensor, a: Tensor, b: Tensor, limit: float) -> FarthestPairs:
    """Measure every pair of rows of the candidates, except of those found to be beyond the limit.

    One pair of rows of each candidate is measured, then one more, then two, four and so on; a
    candidate is dropped once a pair of its rows is beyond the limit.
    """
    members, size, start = by_cluster(cluster)
    parts = []
    for first, end in _runs(size[a] * size[b], MEASURED_PAIRS):
        one, other = a[first:end], b[first:end]
        width = size[other]
        count = size[one] * width
        within_limit = torch.ones_like(one, dtype=torch.bool)
        measured = []
        done, step = 0, 1
        while len(going := (within_limit & (count > done)).nonzero().squeeze(1)):
            taken = (count[going] - done).clamp_(max=step)
            pair = going.repeat_interleave(taken)
            opens = torch.cumsum(taken, 0) - taken - done
            within = torch.arange(len(pair), device=a.device) - opens.repeat_interleave(taken)
            row = torch.div(within, width[pair], rounding_mode="floor")
            i = members[start[one][pair] + row]
            j = members[start[other][pair] + within - row * width[pair]]
            distance = pair_distances(unit, i, j)
            within_limit[pair[distance > limit]] = False
            measured.append((distance, pair, i, j))
            done, step = done + step, done + step
        kept = within_limit.nonzero().squeeze(1)
        place = torch.cumsum(within_limit, 0) - 1
        of_kept = [[values[within_limit[step[1]]] for values in step] for step in measured]
        distance, pair, i, j = (torch.cat(values) for values in zip(*of_kept, strict=True))
        farthest = _farthest(distance, place[pair], i, j, len(kept))
        parts.append(FarthestPairs(one[kept], other[kept], *farthest))
    return _concatenate(parts, unit)


def _by_products(
    unit: Tensor, cluster: Tensor, limit: float, block: tuple[int, int]
) -> FarthestPairs:
    """Look at all pairs of rows in float32, then measure those that may be the farthest.

    In strips of whole clusters: first find the smallest −d of every pair of clusters; then, where
    it is within the limit, measure all entries that rounding cannot tell from the smallest.
    """
    rows = SortedRows.of(unit, cluster)
    sizes, names = rows.size[rows.names], rows.names
    # Few rows at a time: a strip needs a table of its own clusters × all clusters.
    height, width = min(block), max(block)
    begins = [*rows.start[names].tolist(), len(unit)]
    parts = []
    for first, end in _runs(sizes, height):
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
        listed = int((rows.size[a] * rows.size[b]).sum())
        if listed < DENSE_SHARE * (begins[end] - begins[first]) * (len(unit) - begins[first]):
            parts.append(_by_list(unit, cluster, a, b, limit))
            continue
        bound = torch.where(near, smallest + 3 * slack, -torch.inf)
        found = list(rows.measure(unit, first, tiles, bound))
        if found:
            distance, pair, i, j = (torch.cat(values) for values in zip(*found, strict=True))
            parts.append(FarthestPairs(a, b, *_farthest(distance, pair, i, j, len(one))))
    return _concatenate(parts, unit)


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


def _runs(sizes: Tensor, target: int) -> Iterator[tuple[int, int]]:
    """Cut a sequence into runs whose sizes add up to about the target.

    Yields the first item of each run and the one after its last; an item larger than the target is
    not cut.
    """
    if not len(sizes):
        return
    ends = torch.cumsum(sizes, 0)
    cuts = torch.arange(target, max(int(ends[-1]), target), target, device=ends.device)
    places = {0, *torch.searchsorted(ends, cuts).tolist(), len(sizes)}
    yield from pairwise(sorted(places))


def _concatenate(parts: list[FarthestPairs], unit: Tensor) -> FarthestPairs:
    if not parts:
        none = torch.empty(0, dtype=torch.int64, device=unit.device)
        return FarthestPairs(none, none, unit.new_empty(0), none, none)
    return FarthestPairs(*(torch.cat(values) for values in zip(*parts, strict=True)))

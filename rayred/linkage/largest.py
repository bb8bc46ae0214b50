"""The largest pair of rows between two clusters: their distance, and the pair that decides ties.

Legend: R rows, K clusters, E pairs of clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from rayred.linkage.pairs import cluster_factors, pair_distances

MEASURED_PAIRS = 2**21
"""Pairs of rows that are measured at a time."""
DENSE_SHARE = 0.05
"""Share of all pairs of rows from which on products of all rows are cheaper than a list of pairs.

Measured: a listed pair takes 60 to 100 ns, an entry of the products 2 to 5 ns.
"""


class LargestPairs(NamedTuple):
    """Pairs of clusters, and of each the pair of rows that is largest by (d, i, j)."""

    a: Tensor
    """(E,) int64, a cluster, as the caller named it."""
    b: Tensor
    """(E,) int64, another."""
    distance: Tensor
    """(E,) float64."""
    i: Tensor
    """(E,) int64, the lower row of the largest pair."""
    j: Tensor
    """(E,) int64, the higher row."""


def largest_pairs(
    unit_RD: Tensor,
    cluster_R: Tensor,
    a_E: Tensor,
    b_E: Tensor,
    limit: float,
    block: tuple[int, int],
) -> LargestPairs:
    """Return the pairs of clusters whose rows are all within a distance.

    Parameters
    ----------
    unit_RD
        (R, D) float64 rows of length 1.
    cluster_R
        (R,) int64, the cluster of every row, named by its lowest row.
    a_E, b_E
        (E,) int64 clusters: at least all pairs a < b that may be within `limit`.
    limit
        The distance.
    block
        Rows and columns of a product in memory at a time.
    """
    size_R = torch.bincount(cluster_R, minlength=len(cluster_R))
    expanded = int((size_R[a_E] * size_R[b_E]).sum())
    if len(a_E) and expanded == len(a_E):
        found = LargestPairs(a_E, b_E, pair_distances(unit_RD, a_E, b_E), a_E, b_E)
    elif expanded > DENSE_SHARE * len(cluster_R) ** 2 / 2:
        found = _by_products(unit_RD, cluster_R, limit, block)
    else:
        found = _by_list(unit_RD, cluster_R, a_E, b_E, limit)
    near = (found.distance <= limit).nonzero().squeeze(1)
    return LargestPairs(*(values[near] for values in found))


def _by_list(unit: Tensor, cluster: Tensor, a: Tensor, b: Tensor, limit: float) -> LargestPairs:
    """Measure the pairs of rows of the pairs of clusters, and leave out clusters beyond the limit.

    One pair of rows of each is measured, then another, then two, four and so on, but no more of
    clusters of which one is beyond the limit.
    """
    members, size, start = _by_cluster(cluster)
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
        largest = _largest(distance, place[pair], i, j, len(kept))
        parts.append(LargestPairs(one[kept], other[kept], *largest))
    return _concatenate(parts, unit)


def _by_products(
    unit: Tensor, cluster: Tensor, limit: float, block: tuple[int, int]
) -> LargestPairs:
    """Look at all pairs of rows in float32, then measure those that may be the largest.

    In strips of whole clusters: first the smallest −d of every pair of clusters, then, where that
    is near, the entries that rounding cannot tell from it.
    """
    members, size, start = _by_cluster(cluster)
    names = size.nonzero().squeeze(1)
    label = torch.repeat_interleave(torch.arange(len(names), device=unit.device), size[names])
    rows = torch.arange(len(unit), device=unit.device)
    left, right, slack = cluster_factors(unit[members], rows, rows)
    # Few rows at a time: what is known of their clusters and all others is held as a table.
    height, width = min(block), max(block)
    begins = [*start[names].tolist(), len(unit)]
    parts = []
    for first, end in _runs(size[names], height):
        tiles = [
            (slice(i, min(i + height, begins[end])), slice(j, min(j + width, len(unit))))
            for i in range(begins[first], begins[end], height)
            for j in range(begins[first], len(unit), width)
        ]
        smallest = left.new_full((end - first, len(names)), torch.inf)
        for i, j in tiles:
            seen = slice(int(label[j.start]), int(label[j.stop - 1]) + 1)
            by_column = _smallest_of_runs(right[j] @ left[i].T, label[j])
            least = _smallest_of_runs(by_column.T.contiguous(), label[i])
            part = smallest[int(label[i.start]) - first : int(label[i.stop - 1]) + 1 - first, seen]
            torch.minimum(part, least, out=part)
        after = torch.arange(len(names), device=unit.device) > torch.arange(
            first, end, device=unit.device
        ).unsqueeze(1)
        near = after & (smallest >= -(limit + slack))
        one, other = near.nonzero(as_tuple=True)
        listed = int((size[names[one + first]] * size[names[other]]).sum())
        if listed < DENSE_SHARE * (begins[end] - begins[first]) * (len(unit) - begins[first]):
            parts.append(_by_list(unit, cluster, names[one + first], names[other], limit))
            continue
        bound = torch.where(near, smallest + 3 * slack, -torch.inf)
        place = torch.cumsum(near.flatten(), 0).view_as(near) - 1
        found = []
        for i, j in tiles:
            seen = slice(int(label[j.start]), int(label[j.stop - 1]) + 1)
            if not near[:, seen].any():
                continue
            bounds = bound[:, seen].index_select(0, label[i] - first)
            bounds = bounds.index_select(1, label[j] - seen.start)
            row, column = (left[i] @ right[j].T <= bounds).nonzero(as_tuple=True)
            row, column = row + i.start, column + j.start
            pair = place[label[row] - first, label[column]]
            low, high = members[row], members[column]
            distance = pair_distances(unit, low, high)
            found.append((distance, pair, low, high))
        if found:
            distance, pair, low, high = (torch.cat(values) for values in zip(*found, strict=True))
            largest = _largest(distance, pair, low, high, len(one))
            parts.append(LargestPairs(names[one + first], names[other], *largest))
    return _concatenate(parts, unit)


def _smallest_of_runs(values_NM: Tensor, label_N: Tensor) -> Tensor:
    """Return the smallest value of every run of rows of one label, (runs, M); spoils the values."""
    n = len(label_N)
    opens = torch.ones_like(label_N, dtype=torch.bool)
    opens[1:] = label_N[1:] != label_N[:-1]
    starts = opens.nonzero().squeeze(1)
    run = torch.cumsum(opens, 0) - 1
    within = torch.arange(n, device=run.device) - starts[run]
    step = 1
    while step < n:
        together = (within[:-step] % (2 * step) == 0) & (run[step:] == run[:-step])
        rows = together.nonzero().squeeze(1)
        if not len(rows):
            break
        values_NM[rows] = torch.minimum(values_NM[rows], values_NM[rows + step])
        step *= 2
    return values_NM[starts]


def _largest(
    distance: Tensor, pair: Tensor, i: Tensor, j: Tensor, count: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the largest of the pairs of rows of `count` pairs of clusters each, by (d, i, j)."""
    i, j = torch.minimum(i, j), torch.maximum(i, j)
    largest = distance.new_full((count,), -1.0).scatter_reduce_(0, pair, distance, "amax")
    top = distance == largest[pair]
    rows = int(j.max()) + 1 if len(j) else 1
    key = i.new_zeros(count).scatter_reduce_(0, pair[top], (i * rows + j)[top], "amax")
    return largest, key // rows, key % rows


def _by_cluster(cluster: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return all rows, cluster after cluster; of each name the cluster's size and first place."""
    members = torch.argsort(cluster, stable=True)
    size = torch.bincount(cluster, minlength=len(cluster))
    return members, size, torch.cumsum(size, 0) - size


def _runs(sizes: Tensor, target: int) -> Iterator[tuple[int, int]]:
    """Cut a sequence into runs whose sizes add up to about the target; one item may have more."""
    if not len(sizes):
        return
    ends = torch.cumsum(sizes, 0)
    cuts = torch.arange(target, max(int(ends[-1]), target), target, device=ends.device)
    places = {0, *torch.searchsorted(ends, cuts).tolist(), len(sizes)}
    yield from pairwise(sorted(places))


def _concatenate(parts: list[LargestPairs], unit: Tensor) -> LargestPairs:
    if not parts:
        none = torch.empty(0, dtype=torch.int64, device=unit.device)
        return LargestPairs(none, none, unit.new_empty(0), none, none)
    return LargestPairs(*(torch.cat(values) for values in zip(*parts, strict=True)))

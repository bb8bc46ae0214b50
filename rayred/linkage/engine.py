"""The bottom of complete-linkage trees, exactly, from a sparse graph.

A complete-linkage cluster of height h contains only pairs with d ≤ h, so every merge up to height t
is determined by the pairs with d ≤ t alone. In stages of growing t: find the pairs of clusters
within t, rank them, and run merge rounds until the graph is used up or there are merges enough. A
later stage looks at the mean distance between the rows of two clusters first, which is no larger
than the largest.

**Ties.** Pairs of rows i < j are ordered by (d, i, j): of equal distances that of the lower rows
counts as the smaller. That makes all distances different, and the tree unique: it does not depend
on block size, threads, device, or which classes are clustered together. Equal rows, at d = 0, are
merged first, each with the equal row before it, and stand in the graph as one row.

Legend: N rows of one group, R distinct rows of all groups of a batch, D dimensions, G groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.linkage.largest import LargestPairs, largest_pairs
from rayred.linkage.merging import Edges, follow_names, merge_rounds
from rayred.linkage.pairs import cluster_factors, even_strips, near_pairs
from rayred.linkage.rows import check_n_clusters, unit_rows
from rayred.linkage.tree import Tree

BATCH_BYTES = 2**29
"""Size of the float64 rows of small groups that are clustered side by side."""
FIRST_DENSITY = 130.0
"""Near rows that a row has at first, on average: this × (share of the rows to merge)², at least 2.

Measured: merging a tenth takes 0.25 near rows in uniform data and 1 in clustered data, merging half
takes 5 to 19. Where classes have collapsed it takes far more, which the first stage shows.
"""
PAIRS_A_STAGE = 2**23
"""Pairs of clusters that a stage looks for in a group, about: bounds its memory."""
SAMPLED_ROWS = 64
"""Rows whose distances to all others tell which t gives a number of near rows."""
SAMPLED_PAIRS = 2**24
"""Distances looked at for that, at most."""
SMALL = 64
"""Groups of up to so many clusters are merged from all their pairs at once."""
FARTHEST = 4.0
"""More than the cosine distance of any two rows."""
STRIP_BLOCKS = 8
"""Blocks of rows after which to tell of progress, about."""
CPU_BLOCK = (2048, 512)
CUDA_BLOCK = (16384, 32768)
SMALLEST_BLOCK = 256


PairFinder = Callable[[Tensor, Tensor, float, tuple[int, int]], tuple[Tensor, Tensor]]
"""Takes the arguments of `near_pairs` and returns all pairs that it would yield, in any order."""


@dataclass(frozen=True)
class EngineSettings:
    """What the engine otherwise chooses from the data and the machine."""

    device: str | None = None
    """Torch device; none: a GPU if there is one."""
    block: tuple[int, int] | None = None
    """Rows and columns of a product in memory at a time."""
    first_distance: float | None = None
    """Largest distance t of the first stage."""

    find: PairFinder | None = None
    """Finds the near pairs of large groups elsewhere, as on other machines; none: here."""
    find_from: int = 50_000
    """Clusters from which on a group is large."""
    progress: Callable[[str, float], None] | None = None
    """Told of the stage, in words, and the share of its pairs that have been looked at."""

    def torch_device(self) -> torch.device:
        """Return the device to compute on."""
        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def complete_trees(
    x: NDArray[np.generic],
    groups: Sequence[NDArray[np.int64]],
    n_clusters: Sequence[int],
    settings: EngineSettings | None = None,
) -> Iterator[Tree]:
    """Yield the complete-linkage tree of each group of rows, down to its number of clusters.

    Parameters
    ----------
    x
        (n, D) real numbers; may be a memory map, which is read group after group.
    groups
        The rows of each group, ascending.
    n_clusters
        The fewest clusters that each tree will be cut into.
    settings
        Device, block size, first distance.

    Raises
    ------
    ValueError
        A row has no direction, or a number of clusters is impossible.
    MemoryError
        Even the smallest blocks do not fit on the GPU.
    """
    settings = settings or EngineSettings()
    batch: list[tuple[NDArray[np.int64], int]] = []
    held = 0
    for rows, count in zip(groups, n_clusters, strict=True):
        check_n_clusters(count, len(rows))
        size = 8 * len(rows) * x.shape[1]
        if batch and held + size > BATCH_BYTES:
            yield from _cluster_batch(x, batch, settings)
            batch, held = [], 0
        batch.append((rows, count))
        held += size
    if batch:
        yield from _cluster_batch(x, batch, settings)


def _cluster_batch(
    x: NDArray[np.generic], batch: list[tuple[NDArray[np.int64], int]], settings: EngineSettings
) -> Iterator[Tree]:
    device = settings.torch_device()
    prepared = [_distinct_rows(unit_rows(x[rows], device)) for rows, _ in batch]
    counts = [count for _, count in batch]
    needed = [len(p.unit) - count for p, count in zip(prepared, counts, strict=True)]
    forest = _Forest(prepared, needed, settings)
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")  # the slack allows for no TF32
    try:
        while forest.unfinished():
            forest.grow()
    finally:
        torch.set_float32_matmul_precision(precision)
    for group, (p, count) in enumerate(zip(prepared, counts, strict=True)):
        pairs, heights = forest.merges_of(group)
        yield p.tree(pairs, heights, count)


@dataclass(frozen=True)
class _DistinctRows:
    """Rows of one group without repetitions, in the order of their last occurrence."""

    unit: Tensor
    """(M, D) float64 distinct unit rows."""
    last: NDArray[np.int64]
    """(M,) the last row equal to each: the one that decides ties (the larger pair counts)."""
    twins: NDArray[np.int64]
    """(N − M, 2) each repeated row and the equal row before it, in order of the latter."""
    n_rows: int

    def tree(self, pairs: NDArray[np.int64], heights: NDArray[np.float64], n_clusters: int) -> Tree:
        """Return the tree of all rows, repetitions merged first.

        `pairs` are positions of distinct rows, one in each of the two clusters merged.
        """
        merges = np.concatenate([self.twins, self.last[pairs].reshape(-1, 2)])
        levels = np.concatenate([np.zeros(len(self.twins)), heights])
        wanted = self.n_rows - n_clusters
        return _assemble(self.n_rows, merges[:wanted], levels[:wanted])


def _distinct_rows(unit: Tensor) -> _DistinctRows:
    n, device = len(unit), unit.device
    bits = (unit + 0.0).view(torch.int64)  # −0.0 becomes 0.0, which has other bits
    weights = np.random.default_rng(0).integers(-(2**62), 2**62, bits.shape[1]) | 1
    # Products and sums wrap, so that their order makes no difference.
    hashed, order = (bits * torch.from_numpy(weights).to(device)).sum(1).sort(stable=True)
    same = hashed[1:] == hashed[:-1]
    twin = same.nonzero().squeeze(1)
    if not len(twin):
        return _DistinctRows(unit, np.arange(n), np.empty((0, 2), np.int64), n)
    same[twin] = (unit[order[twin + 1]] == unit[order[twin]]).all(dim=1)
    repeated, before = order[1:][same], order[:-1][same]
    followed = torch.zeros(n, dtype=torch.bool, device=device)
    followed[before] = True
    last = (~followed).nonzero().squeeze(1)
    by_row = before.argsort()
    twins = torch.stack([repeated[by_row], before[by_row]], dim=1)
    return _DistinctRows(unit[last], last.cpu().numpy(), twins.cpu().numpy(), n)


class _Forest:
    """The clusters of all groups of a batch, and the merges that made them."""

    def __init__(
        self, prepared: Sequence[_DistinctRows], needed: Sequence[int], settings: EngineSettings
    ) -> None:
        device = settings.torch_device()
        sizes = [len(p.unit) for p in prepared]
        self.unit = torch.cat([p.unit for p in prepared])
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        self.group = torch.repeat_interleave(
            torch.arange(len(sizes), device=device), torch.tensor(sizes, device=device)
        )
        self.rows = torch.arange(len(self.unit), device=device)
        self.cluster = self.rows
        """(R,) the cluster of every row, named by its lowest row."""
        self.needed = torch.tensor(needed, device=device)
        self.degree = [
            max(2.0, FIRST_DENSITY * (count / size) ** 2)
            for count, size in zip(needed, sizes, strict=True)
        ]
        """Near clusters that a cluster is to get in the next stage, on average."""
        self.clusters = sizes
        self.limit = [-1.0] * len(sizes)
        """t of the last stage of every group; negative before the first."""
        self.settings = settings
        self.block = settings.block or (CUDA_BLOCK if device.type == "cuda" else CPU_BLOCK)
        self.merges: list[tuple[Tensor, Tensor, Tensor]] = []

    def unfinished(self) -> bool:
        """Whether a group still needs merges."""
        return bool((self.needed > 0).any())

    def grow(self) -> None:
        """Run one stage: raise t in every group that needs it, and merge."""
        groups = (self.needed > 0).nonzero().squeeze(1).tolist()
        before = self.needed.tolist()
        stages = [self._near_clusters(group) for group in groups]
        low, high, distance, i, j = (torch.cat(parts) for parts in zip(*stages, strict=True))
        order = _ascending(distance, i * len(self.unit) + j)
        rank = torch.arange(len(order), device=order.device)
        merged = merge_rounds(Edges(low[order], high[order], rank), self.group, self.needed)
        self._record(merged, distance[order[merged.rank]])
        after = self.needed.tolist()
        for group in groups:
            done, left = before[group] - after[group], after[group]
            was, now = self.clusters[group], self.clusters[group] - done
            self.clusters[group] = now
            # As at first: near clusters by the square of the share of clusters to merge.
            growth = (left / now * was / max(done, 1)) ** 2
            self.degree[group] *= min(1.5 * growth, 256.0)

    def merges_of(self, group: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the merges of a group by height: two rows of it, one a cluster, and distances."""
        first, end = self.starts[group], self.starts[group + 1]
        pairs, heights = [], []
        for low, high, distance in self.merges:
            mine = (low >= first) & (low < end)
            pairs.append(torch.stack([low[mine], high[mine]], 1).cpu().numpy() - first)
            heights.append(distance[mine].cpu().numpy())
        if not pairs:
            return np.empty((0, 2), np.int64), np.empty(0)
        return np.concatenate(pairs), np.concatenate(heights)

    def _record(self, merged: Edges, distance: Tensor) -> None:
        """Keep a stage's merges, cut off at the number needed, and rename the clusters."""
        group = self.group[merged.low]
        order = torch.argsort(group, stable=True)
        count = torch.bincount(group, minlength=len(self.needed))
        first = (torch.cumsum(count, 0) - count)[group[order]]
        within = torch.arange(len(order), device=order.device) - first
        kept = torch.zeros_like(order, dtype=torch.bool)
        kept[order] = within < self.needed[group[order]]
        merged = merged[kept]
        self.merges.append((merged.low, merged.high, distance[kept]))
        self.needed -= torch.bincount(group[kept], minlength=len(self.needed))
        self.cluster = follow_names(merged, self.rows)[self.cluster]

    def _near_clusters(self, group: int) -> tuple[Tensor, ...]:
        """Return all pairs of clusters of a group within t: clusters, distance, largest pair."""
        first, end = int(self.starts[group]), int(self.starts[group + 1])
        cluster = self.cluster[first:end] - first
        unit = self.unit[first:end]
        names = (cluster == torch.arange(end - first, device=cluster.device)).nonzero().squeeze(1)
        left, right, slack = cluster_factors(unit, cluster, names)
        limit = self.limit[group] = self._limit(group, left, right)

        def near() -> LargestPairs:
            pairs = self._find(left, right, limit + slack)
            a = names[torch.cat([i for i, _ in pairs])] if pairs else names[:0]
            b = names[torch.cat([j for _, j in pairs])] if pairs else names[:0]
            return largest_pairs(unit, cluster, a, b, limit, self.block)

        found = self._in_blocks_that_fit(near, len(names))
        return (
            found.a + first,
            found.b + first,
            found.distance,
            found.i + first,
            found.j + first,
        )

    def _find(self, left: Tensor, right: Tensor, limit: float) -> list[tuple[Tensor, Tensor]]:
        if self.settings.find is not None and len(left) >= self.settings.find_from:
            return [self.settings.find(left, right, limit, self.block)]
        pairs: list[tuple[Tensor, Tensor]] = []
        n = len(left)
        strips = even_strips(n, n // (STRIP_BLOCKS * self.block[0]) + 1)
        for number, strip in enumerate(strips, start=1):
            pairs += near_pairs(left, right, limit, self.block, strip)
            if self.settings.progress is not None:
                self.settings.progress(f"near pairs of {n:,} clusters", number / len(strips))
        return pairs

    def _in_blocks_that_fit(self, work: Callable[[], LargestPairs], rows: int) -> LargestPairs:
        """Do it; where blocks do not fit on the GPU, again with smaller ones."""
        while True:
            try:
                return work()
            except torch.OutOfMemoryError as error:
                if max(self.block) <= SMALLEST_BLOCK:
                    raise MemoryError(
                        f"{rows} rows do not fit on the GPU even with blocks of"
                        f" {SMALLEST_BLOCK} rows; use the CPU"
                    ) from error
            height, width = self.block
            self.block = max(height // 2, SMALLEST_BLOCK), max(width // 2, SMALLEST_BLOCK)
            torch.cuda.empty_cache()

    def _limit(self, group: int, left: Tensor, right: Tensor) -> float:
        """Return the t whose near clusters the merges needed may take; larger than the last t."""
        m = len(left)
        if self.settings.first_distance is not None and self.limit[group] < 0:
            return self.settings.first_distance
        sampled = max(1, min(m, SAMPLED_ROWS, SAMPLED_PAIRS // m))
        sample = torch.linspace(0, m - 1, sampled, device=left.device).long()
        distances = -(left[sample] @ right.T).flatten()
        # The sampled rows themselves, at distance 0, are among the nearest.
        near = max(1.0, int((distances <= self.limit[group]).sum()) / sampled)
        degree = min(max(self.degree[group], near / 2), 2 * PAIRS_A_STAGE / m)
        while near + degree < (m / 4 if m * m <= 2 * PAIRS_A_STAGE else m) and m > SMALL:
            nearest = distances.topk(int(sampled * (near + degree)), largest=False, sorted=False)
            found = float(nearest.values.max())
            if found > self.limit[group]:
                return found
            degree *= 2
        return FARTHEST


def _ascending(distance: Tensor, key: Tensor) -> Tensor:
    """Return the order of pairs by (distance, key); no distance is negative."""
    # Floats from zero on are in the order of their bits, and integers are sorted by radix.
    bits, order = distance.view(torch.int64).sort()
    equal = bits[1:] == bits[:-1]
    tied = torch.zeros_like(order, dtype=torch.bool)
    tied[1:] = equal
    tied[:-1] |= equal
    places = tied.nonzero().squeeze(1)
    if len(places):
        # Two stable sorts, the last one deciding.
        by_key = key[order[places]].argsort()
        by_both = by_key[bits[places][by_key].argsort(stable=True)]
        order[places] = order[places][by_both]
    return order


def _assemble(n_rows: int, merges: NDArray[np.int64], heights: NDArray[np.float64]) -> Tree:
    """Return the tree of merges in order; each joins a cluster `high` to a cluster `low`.

    A cluster goes by one of its rows: by that of `low` after the merge. So the node that a row
    stands for is made by the last merge before that had it as `low`, or is the row itself.
    """
    count = len(merges)
    low, high = merges[:, 0], merges[:, 1]
    time = np.arange(count)
    made = np.sort(low * count + time)
    children = np.empty((count, 2), np.int64)
    for side, row in enumerate((low, high)):
        place = np.searchsorted(made, row * count + time) - 1
        last = made[np.maximum(place, 0)]
        earlier = (place >= 0) & (last // max(count, 1) == row)
        children[:, side] = np.where(earlier, n_rows + last % max(count, 1), row)
    children.sort(axis=1)
    return Tree(n_rows, children, heights.astype(np.float32))

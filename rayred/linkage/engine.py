"""The engine: complete-linkage trees up to the height wanted, exactly, from a sparse graph.

All pairs of a complete-linkage cluster of height h have d ≤ h, so every merge up to a height t is
determined by the pairs with d ≤ t alone. The engine works in stages of growing threshold t: find
the pairs of clusters within t, rank them, and run merge rounds until no edge is left or there are
enough merges. From the second stage on, clusters have several rows; their mean distance, which is
at most their complete-linkage distance, then tells which pairs of clusters need to be measured.

**Ties.** Pairs of rows i < j are ordered by (d, i, j): of equal distances, that of the lower rows
counts as the smaller. That makes all distances different and the tree unique: it does not depend on
block size, threads, device, or which groups are clustered together. Equal rows, at d = 0, are
merged first, each with the equal row before it, and stand in the graph as one row.

Legend: N rows of one group, R distinct rows of all groups of a batch, D dimensions, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.linkage.arithmetic import full_float32
from rayred.linkage.dense import BYTES_A_PAIR, dense_merges
from rayred.linkage.distinct import DistinctRows, distinct_groups
from rayred.linkage.farthest import FarthestPairs, farthest_pairs
from rayred.linkage.merging import Edges, clusters_after, merge_rounds
from rayred.linkage.near import Clusters, find_near, measure
from rayred.linkage.order import LowestPairs, ascending
from rayred.linkage.pairs import cluster_factors, widen
from rayred.linkage.products import products_that_pay
from rayred.linkage.rows import empty, unit_rows
from rayred.linkage.settings import EngineSettings
from rayred.linkage.threads import side_by_side
from rayred.linkage.thresholds import ABOVE_ALL, degree_growth, first_degree, next_threshold
from rayred.linkage.tree import Tree, check_distance, check_n_clusters

BATCH_BYTES = 2**29
"""Bytes of the float64 rows of small groups that are clustered side by side."""
BATCH_WIDTH = 512
"""Fewest numbers that a row counts as there: its near pairs take memory as well."""
RUN_ENTRIES = 2**17
"""Numbers in the rows of small groups that are prepared together: 1 MiB in float64."""
BYTES_A_NEAR_PAIR = 200
"""The most memory that a stage takes for each pair of clusters that it may list."""
SMALL = 64
"""Groups of at most this many clusters are merged from all their pairs in one stage."""
ALL_PAIRS_SHARE = 0.25
"""Share of the pairs of rows from which on merging from all pairs at once takes less time."""
CPU_BLOCK = (2048, 512)
"""Rows and columns of a product in memory at a time on a CPU: 4 MiB of float32."""
CUDA_BLOCK = (16384, 32768)
"""Rows and columns of a product in memory at a time on a GPU: 2 GiB of float32."""
SMALLEST_BLOCK = 256
"""Rows or columns below which a block that does not fit on the GPU is not cut further."""


def complete_trees(
    x: NDArray[np.generic],
    groups: Sequence[NDArray[np.int64]],
    n_clusters: Sequence[int],
    settings: EngineSettings | None = None,
    max_distance: float = math.inf,
) -> Iterator[Tree]:
    """Yield the complete-linkage tree of each group of rows, down to its number of clusters.

    Parameters
    ----------
    x
        (n, D) real numbers; may be a memory map, of which one group after another is read.
    groups
        G arrays, (N,) int64 ascending: the rows of each group.
    n_clusters
        G numbers, 1 to N: the smallest number of clusters that each tree will be cut into.
    settings
        How to compute; chosen from the data and the machine by default.
    max_distance
        The largest height of a merge: merges above it are not in the trees.

    Raises
    ------
    ValueError
        A row has no cosine distance (NaN, infinite or all zero), a number of clusters is not 1 to
        N, or the distance is negative or NaN.
    MemoryError
        Even the smallest blocks do not fit on the GPU.
    """
    check_distance(max_distance)
    settings = settings or EngineSettings()
    batch: list[tuple[NDArray[np.int64], int]] = []
    held = 0
    for rows, count in zip(groups, n_clusters, strict=True):
        check_n_clusters(count, 1, len(rows))
        size = 8 * len(rows) * max(x.shape[1], BATCH_WIDTH)
        if batch and held + size > BATCH_BYTES:
            yield from _cluster_batch(x, batch, settings, max_distance)
            batch, held = [], 0
        batch.append((rows, count))
        held += size
    if batch:
        yield from _cluster_batch(x, batch, settings, max_distance)


def _cluster_batch(
    x: NDArray[np.generic],
    batch: list[tuple[NDArray[np.int64], int]],
    settings: EngineSettings,
    max_distance: float,
) -> Iterator[Tree]:
    """Yield the trees of some groups that are clustered side by side in one graph."""
    device = settings.torch_device()
    counts = [count for _, count in batch]
    with full_float32():
        starts = np.cumsum([0, *(len(rows) for rows, _ in batch)]).tolist()
        every = empty((starts[-1], x.shape[1]), torch.float64, device)

        def prepare(run: range) -> list[DistinctRows]:
            taken = np.concatenate([batch[group][0] for group in run])
            unit = unit_rows(x, device, taken, out=every[starts[run.start] : starts[run.stop]])
            return distinct_groups(unit, [len(batch[group][0]) for group in run])

        runs = _runs_of_groups(starts, RUN_ENTRIES // x.shape[1])
        entries = starts[-1] * x.shape[1] / len(batch)
        prepared = list(chain.from_iterable(side_by_side(prepare, runs, device, entries)))
        units = [p.unit for p in prepared]
        needed = [len(unit) - count for unit, count in zip(units, counts, strict=True)]
        if sum(map(len, units)) < len(every):
            every = torch.cat(units)
        forest = _Forest(every, [len(unit) for unit in units], needed, settings, max_distance)
        while forest.unfinished():
            forest.grow()
    for p, merges, count in zip(prepared, forest.merges_by_group(), counts, strict=True):
        yield p.tree(*merges, count)


def _runs_of_groups(starts: list[int], rows: int) -> list[range]:
    """Cut the groups into runs of at most so many rows, or of one group that has more.

    `starts` has the first row of every group, and the row after the last.
    """
    runs, first = [], 0
    for group in range(1, len(starts)):
        if group == len(starts) - 1 or starts[group + 1] - starts[first] > rows:
            runs.append(range(first, group))
            first = group
    return runs


class _Forest:
    """The clusters of all groups of a batch, and the merges found so far."""

    def __init__(
        self,
        unit: Tensor,
        sizes: list[int],
        needed: Sequence[int],
        settings: EngineSettings,
        max_distance: float,
    ) -> None:
        device = settings.torch_device()
        self.unit = unit
        """(R, D) float64 rows of length 1, group after group."""
        self.starts = np.concatenate([[0], np.cumsum(sizes)])
        """(G + 1,) the first row of each group, and R."""
        self.group = torch.repeat_interleave(
            torch.arange(len(sizes), device=device), torch.tensor(sizes, device=device)
        )
        """(R,) the group of every row."""
        self.rows = torch.arange(len(self.unit), device=device)
        self.cluster = self.rows
        """(R,) the cluster of every row, identified by its lowest row."""
        self.needed = torch.tensor(needed, device=device)
        """(G,) the number of merges still missing in each group; below 0: equal rows have more."""
        self.wanted = sum(max(0, count) for count in needed)
        """The number of merges wanted in all groups, but for those of equal rows."""
        self.degree = [first_degree(size, count) for size, count in zip(sizes, needed, strict=True)]
        """For each group, the mean number of new near clusters per cluster wanted next."""
        self.clusters = sizes
        """For each group, its number of clusters."""
        self.growing = sum(sizes)
        """The number of clusters of all groups that need merges in this stage."""
        self.threshold = [-1.0] * len(sizes)
        """For each group, t of the last stage; negative before the first."""
        self.settings = settings
        self.max_distance = max_distance
        self.block = settings.block or (CUDA_BLOCK if device.type == "cuda" else CPU_BLOCK)
        self.reporting = Lock()
        """Held while progress is told: groups are worked on side by side."""
        self.merges: list[tuple[Tensor, Tensor, Tensor]] = []
        """Of each stage: the two clusters and the distance of every merge, by ascending rank."""

    def unfinished(self) -> bool:
        """Return whether a group still needs merges."""
        return bool((self.needed > 0).any())

    def grow(self) -> None:
        """Run one stage: raise t in every group that needs merges, and merge."""
        groups = (self.needed > 0).nonzero().squeeze(1).tolist()
        before = self.needed.tolist()
        self.growing = sum(self.clusters[group] for group in groups)
        entries = self.growing * self.unit.shape[1] / len(groups)
        near = side_by_side(self._near_clusters, groups, self.unit.device, entries)
        found = dict(zip(groups, near, strict=True))
        for group, pairs in found.items():
            if pairs is None:
                self._merge_all_pairs(group)
        stages = [pairs for pairs in found.values() if pairs is not None]
        if not stages:
            return
        low, high, distance, i, j = FarthestPairs.joined(stages)
        del near, found, pairs, stages
        order = ascending(distance, i, j)
        del i, j
        rank = torch.arange(len(order), device=order.device)
        path = f"{len(order):,} near pairs"
        self._report(path, 0.0)
        merged = merge_rounds(Edges(low[order], high[order], rank), self.group, self.needed)
        self._record(merged, distance[order[merged.rank]])
        after = self.needed.tolist()
        for group in groups:
            done, left = before[group] - after[group], after[group]
            self.degree[group] *= degree_growth(self.clusters[group], done, left)
            self.clusters[group] -= done
            if self.threshold[group] >= self.max_distance:
                self.needed[group] = 0
        self._report(path, 1.0)

    def merges_by_group(self) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Return the merges of every group by ascending height.

        Returns
        -------
        pairs
            (M, 2) the lowest distinct row of each of the two clusters, counted within the group.
        heights
            (M,) their distances.
        """
        merges = [(self.rows[:0], self.rows[:0], self.unit.new_empty(0)), *self.merges]
        low, high, distance = (torch.cat(parts) for parts in zip(*merges, strict=True))
        group, order = self.group[low].sort(stable=True)
        count = torch.bincount(group, minlength=len(self.needed))
        first = torch.from_numpy(self.starts[:-1]).to(low.device)[group]
        pairs = torch.stack([low[order] - first, high[order] - first], 1).cpu().numpy()
        ends = torch.cumsum(count, 0)[:-1].cpu().numpy()
        heights = np.split(distance[order].cpu().numpy(), ends)
        return list(zip(np.split(pairs, ends), heights, strict=True))

    def _record(self, merged: Edges, distance: Tensor) -> None:
        """Keep the merges of a stage, at most those needed in each group; update the clusters."""
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
        self.cluster = clusters_after(merged, self.rows)[self.cluster]

    def _merge_all_pairs(self, group: int) -> None:
        """Find the merges that a group still needs from all pairs of its rows."""
        first, end = int(self.starts[group]), int(self.starts[group + 1])
        path = f"all pairs of {end - first:,} rows"
        self._report(path, 0.0)
        pairs, heights = dense_merges(self.unit[first:end])
        # The tree is unique, so its lowest merges are those found before.
        done, needed = end - first - self.clusters[group], int(self.needed[group])
        stop = min(done + needed, int((heights <= self.max_distance).sum()))
        low, high = torch.from_numpy(first + pairs[done:stop]).to(self.rows.device).T
        distance = torch.from_numpy(heights[done:stop]).to(self.unit.device)
        self.merges.append((low, high, distance))
        self.needed[group] = 0
        self._report(path, 1.0)

    def _report(self, path: str, share: float) -> None:
        if self.settings.progress is not None:
            done = self.wanted - int(self.needed.clamp(min=0).sum())
            with self.reporting:
                self.settings.progress(f"{done:,} of {self.wanted:,} merges, {path}", share)

    def _near_clusters(self, group: int) -> FarthestPairs | None:
        """Return the lowest pairs of clusters of a group, or `None` if all pairs are better.

        They are all pairs within the next t, or as many of the lowest as fit into memory.
        """
        first, end = int(self.starts[group]), int(self.starts[group + 1])
        cluster = self.cluster[first:end] - first
        unit = self.unit[first:end]
        names = (cluster == torch.arange(end - first, device=cluster.device)).nonzero().squeeze(1)
        most = self._pairs_worth_listing(group)
        given = self.settings.first_distance if self.threshold[group] < 0 else None
        if len(unit) <= SMALL and given is None:
            return self._from_first(self._all_pairs(group, unit, cluster, names), group, first)
        left, right, slack = cluster_factors(unit, cluster, names)
        if given is not None:
            limit = given
        elif len(names) <= SMALL:
            limit = ABOVE_ALL
        else:
            limit = next_threshold(left, right, self.threshold[group], self.degree[group])
        limit = min(limit, self.max_distance)
        if most is not None and limit == ABOVE_ALL and len(names) * (len(names) - 1) / 2 > most:
            return None
        widen(left, right, slack)
        left, right, boxes = products_that_pay(left, right, limit, self.settings, self.block[0])
        if boxes is not None:
            names = names[boxes.order.to(names.device)]
        floor = math.nextafter(self.threshold[group], math.inf)
        clusters = Clusters(unit, cluster, names, left, right, floor, boxes)

        def near() -> LowestPairs | None:
            lowest = LowestPairs(limit, self._pairs_that_fit(group))
            return lowest if self._find(clusters, lowest, most) else None

        lowest = self._in_blocks_that_fit(near, len(names))
        if lowest is None:
            return None
        return self._from_first(lowest, group, first)

    def _all_pairs(self, group: int, unit: Tensor, cluster: Tensor, names: Tensor) -> LowestPairs:
        """Return the lowest pairs of clusters of a few rows, without a search for near ones."""
        k = len(names)
        a, b = names[torch.triu_indices(k, k, 1, device=names.device)]
        limit = min(ABOVE_ALL, self.max_distance)
        lowest = LowestPairs(limit, self._pairs_that_fit(group))
        lowest.add(farthest_pairs(unit, cluster, a, b, limit, self.block))
        return lowest

    def _from_first(self, lowest: LowestPairs, group: int, first: int) -> FarthestPairs:
        """Return the lowest pairs of a group, counted from its first row; t is where they end."""
        # Some pairs at the limit were left out if not all fitted.
        self.threshold[group] = (
            lowest.limit if lowest.cut is None else math.nextafter(lowest.limit, -1)
        )
        found = lowest.pairs()
        return FarthestPairs(
            found.a + first, found.b + first, found.distance, found.i + first, found.j + first
        )

    def _pairs_that_fit(self, group: int) -> int:
        """Return the number of pairs of clusters of a group that are held at a time."""
        share = self.clusters[group] / self.growing
        fit = int(share * self.settings.pairs_bytes / BYTES_A_NEAR_PAIR)
        return max(fit, 2 * self.clusters[group])

    def _pairs_worth_listing(self, group: int) -> int | None:
        """Return the number of near pairs from which on a group is merged from all its pairs.

        `None`: all its pairs do not fit into memory, or are few.
        """
        rows = int(self.starts[group + 1] - self.starts[group])
        every = rows * (rows - 1) // 2
        if rows <= SMALL or every * BYTES_A_PAIR > self.settings.pairs_bytes:
            return None
        return min(int(ALL_PAIRS_SHARE * every), self._pairs_that_fit(group))

    def _find(self, clusters: Clusters, lowest: LowestPairs, most: int | None) -> bool:
        """Find near pairs, by the function of the settings or here; see `find_near`."""
        count = len(clusters.names)
        said = " in bfloat16" if clusters.left.dtype == torch.bfloat16 else ""
        report = partial(self._report, f"near pairs of {count:,} clusters{said}")
        find = self.settings.find if count >= self.settings.find_from else None
        if find is not None:
            factors = clusters.left, clusters.right
            most = lowest.most
            pairs = find(*factors, lowest.limit, self.block, clusters.boxes, most, report)
            if pairs is not None:
                measure(clusters, lowest, [pairs], self.block)
                return True
        return find_near(clusters, lowest, self.block, most, report)

    def _in_blocks_that_fit(
        self, work: Callable[[], LowestPairs | None], rows: int
    ) -> LowestPairs | None:
        """Return what `work` returns; repeat it with smaller blocks while they exceed the GPU."""
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

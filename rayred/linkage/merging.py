"""Merge rounds: all reciprocal nearest clusters of a graph merged at once, until none is left.

Legend: R rows, E edges, G groups.

A cluster is identified by its lowest row. An edge joins two clusters if *every* pair of their
members is in the graph; its weight is the rank of the largest of those pairs by (d, i, j). Ranks
are all different, so every cluster has exactly one nearest neighbour. Complete linkage is
reducible: a merged cluster is no closer to a third one than the closer of its two parts was. So
merging all reciprocal nearest neighbours at once gives the same tree as merging the closest pair
again and again.

Source: Sumengen et al., Scaling hierarchical agglomerative clustering to billion-sized datasets
(arXiv 2105.11653).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from rayred.linkage.dense import merges_of_ranks

FIRST_WINDOW = 2**14
"""Number of edges in the first window."""
FIRST_ROUNDS = 16
"""Rounds over all edges of a window whose work is done before another way is looked for."""
ROUND_WORK = 4_000
"""What a round costs beside its edges, in edges: about 0.3 ms."""
DENSE_WORK = 0.15
"""What SciPy takes for each square of the number of clusters, in edges. Measured: 5 to 10 ns."""
SMALL_PART = 64
"""Number of connected clusters up to which rounds are left to end by themselves."""
LARGEST_PART = 2**13
"""Most connected clusters that are merged from all their pairs, and fewest edges that are halved.

So many clusters take 0.5 GiB, and as many edges cannot connect more clusters.
"""
UNSEEN = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Edges:
    """Pairs of clusters, each cluster identified by its lowest row."""

    low: Tensor
    """(E,) int64, the cluster with the lower identifier."""
    high: Tensor
    """(E,) int64, the cluster with the higher identifier."""
    rank: Tensor
    """(E,) int64, all different: the rank of the largest pair of members."""

    def __getitem__(self, chosen: Tensor | slice) -> Edges:
        return Edges(self.low[chosen], self.high[chosen], self.rank[chosen])

    def __len__(self) -> int:
        return len(self.rank)


def merge_rounds(edges: Edges, group_R: Tensor, needed_G: Tensor) -> Edges:
    """Merge until every group has the merges it needs, or has no edges left.

    Edges are taken by ascending rank in windows that double in size: the merges up to a rank follow
    from the edges up to that rank alone, so few edges beyond the last merge needed are read.

    Parameters
    ----------
    edges
        All pairs of clusters of which every pair of members is in the graph, by ascending rank.
    group_R
        (R,) int64, the group of every row; no edge joins two groups.
    needed_G
        (G,) int64, the number of merges wanted in each group.

    Returns
    -------
    merges
        The merges by ascending rank: of each group at least the number wanted, or all that its
        edges determine.
    """
    scratch = _Scratch.of(edges.rank, len(group_R))
    merged = [edges[:0]]
    left = needed_G.clone()
    size = FIRST_WINDOW
    while len(edges):
        joined = _merge_window(edges[:size], scratch)
        merged.append(joined)
        left -= torch.bincount(group_R[joined.low], minlength=len(left))
        edges = edges[(left[group_R[edges.low]] > 0).nonzero().squeeze(1)]
        edges = _contract(edges, joined, scratch)
        edges = edges[torch.argsort(edges.rank)]
        size *= 2
    return _concatenate(merged)


def _merge_window(edges: Edges, scratch: _Scratch) -> Edges:
    """Merge reciprocal nearest neighbours until no edge is left; return merges by ascending rank.

    The edges have to be all those up to some rank.

    Rounds that merge little are ended once they have cost as much as another way: clusters that are
    connected are merged from all their pairs at once, or the window is halved where they are many.
    So rounds never cost much more than that way alone, whatever the distances are.
    """
    merged = [edges[:0]]
    nearest = scratch.nearest
    clusters = torch.zeros_like(nearest, dtype=torch.bool)
    clusters[edges.low] = clusters[edges.high] = True
    densely = DENSE_WORK * int(clusters.sum()) ** 2
    work, limit = 0.0, min(densely, FIRST_ROUNDS * (ROUND_WORK + len(edges)))
    while len(edges):
        work += ROUND_WORK + len(edges)
        if work > limit:
            joined, edges = _merge_densely(edges, work)
            merged.append(joined)
            limit = 2 * work
            if len(edges) >= LARGEST_PART and not len(joined):
                edges = edges[torch.argsort(edges.rank)]
                joined = _merge_window(edges[: len(edges) // 2], scratch)
                merged.append(joined)
                edges = _contract(edges, joined, scratch)
            continue
        nearest.scatter_reduce_(0, edges.low, edges.rank, "amin")
        nearest.scatter_reduce_(0, edges.high, edges.rank, "amin")
        mutual = (nearest[edges.low] == edges.rank) & (nearest[edges.high] == edges.rank)
        nearest[edges.low] = UNSEEN
        nearest[edges.high] = UNSEEN
        joined = edges[mutual.nonzero().squeeze(1)]
        merged.append(joined)
        edges = _contract(edges, joined, scratch)
    together = _concatenate(merged)
    return together[torch.argsort(together.rank)]


def _merge_densely(edges: Edges, work: float) -> tuple[Edges, Edges]:
    """Merge the connected parts of a graph for which `work` would be enough.

    Returns
    -------
    merges
        All merges of those parts.
    edges
        The edges of the other parts.
    """
    low, high = edges.low.cpu().numpy(), edges.high.cpu().numpy()
    clusters, ends = np.unique(np.concatenate([low, high]), return_inverse=True)
    low, high = ends[: len(low)], ends[len(low) :]
    graph = coo_array((np.ones(len(low), bool), (low, high)), shape=(len(clusters),) * 2)
    count, part = connected_components(graph, directed=False)
    sizes = np.bincount(part, minlength=count)
    chosen = (sizes > SMALL_PART) & (sizes <= LARGEST_PART) & (DENSE_WORK * sizes**2 <= work)
    rank = edges.rank.cpu().numpy()
    part_of_edge = part[low]
    edges_of, members_of = _by_part(part_of_edge, count), _by_part(part, count)
    merges: list[NDArray[np.int64]] = []
    for number in np.flatnonzero(chosen):
        mine, members = edges_of[number], members_of[number]
        places = np.searchsorted(members, low[mine]), np.searchsorted(members, high[mine])
        pairs, ranks = _merges_of_part(*places, rank[mine], len(members))
        merges.append(np.column_stack([clusters[members[pairs]], ranks]))
    found = torch.from_numpy(np.concatenate(merges) if merges else np.empty((0, 3), np.int64))
    found = found.to(edges.low.device)
    rest = torch.from_numpy(~chosen[part_of_edge]).to(edges.low.device)
    return Edges(*found.unbind(1)), edges[rest.nonzero().squeeze(1)]


def _by_part(part: NDArray[np.int32], count: int) -> list[NDArray[np.int64]]:
    """Return the places of each part's number, ascending."""
    return np.split(part.argsort(kind="stable"), np.bincount(part, minlength=count).cumsum()[:-1])


def _merges_of_part(
    low: NDArray[np.int64], high: NDArray[np.int64], rank: NDArray[np.int64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the merges of n connected clusters, as pairs of them and ranks.

    A pair without an edge is given a rank above all: clusters with such a pair are not merged.
    """
    ascending = np.sort(rank)
    ranks = np.full(n * (n - 1) // 2, float(len(rank)))
    ranks[low * (2 * n - low - 1) // 2 + high - low - 1] = np.searchsorted(ascending, rank)
    pairs, merged = merges_of_ranks(ranks, n)
    determined = merged < len(rank)
    return pairs[determined], ascending[merged[determined]]


@dataclass(frozen=True)
class _Scratch:
    """Work arrays with one entry a row, allocated once; every function restores their values."""

    nearest: Tensor
    """(R,) `UNSEEN` everywhere."""
    cluster: Tensor
    """(R,) 0 to R − 1: every row its own cluster."""
    parts: Tensor
    """(R,) 1 everywhere: the number of clusters that each cluster is made of."""

    @classmethod
    def of(cls, like: Tensor, rows: int) -> _Scratch:
        """Return work arrays of `rows` entries on the device of `like`."""
        cluster = torch.arange(rows, device=like.device)
        return cls(torch.full_like(cluster, UNSEEN), cluster, torch.ones_like(cluster))


def _contract(edges: Edges, joined: Edges, scratch: _Scratch) -> Edges:
    """Return the edges between the clusters that exist after the merges `joined`.

    Two clusters have an edge if every pair of their parts had one; its rank is the largest of the
    ranks of those.
    """
    if not len(joined) or not len(edges):
        return edges
    cluster, parts = scratch.cluster, scratch.parts
    final = clusters_after(joined, cluster)
    rows = torch.cat([joined.low, joined.high]).unique()  # type: ignore[no-untyped-call]
    cluster[rows] = final[rows]
    parts[cluster[rows]] = torch.bincount(cluster[rows], minlength=len(cluster))[cluster[rows]]
    a, b = cluster[edges.low], cluster[edges.high]
    touched = (parts[a] > 1) | (parts[b] > 1)
    rest = edges[(~touched).nonzero().squeeze(1)]
    kept = (touched & (a != b)).nonzero().squeeze(1)
    a, b, rank = a[kept], b[kept], edges.rank[kept]
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    by_pair = torch.argsort(low * len(cluster) + high)
    low, high, rank = low[by_pair], high[by_pair], rank[by_pair]
    opens = torch.ones_like(rank, dtype=torch.bool)
    opens[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    run = torch.cumsum(opens, 0) - 1
    first = opens.nonzero().squeeze(1)
    low, high = low[first], high[first]
    count = torch.bincount(run, minlength=len(low))
    rank = rank.new_zeros(len(low)).scatter_reduce_(0, run, rank, "amax")
    complete = (count == parts[low] * parts[high]).nonzero().squeeze(1)
    cluster[rows] = rows
    parts[rows] = 1
    return _concatenate([rest, Edges(low[complete], high[complete], rank[complete])])


def clusters_after(joined: Edges, rows: Tensor) -> Tensor:
    """Return the cluster of every row after merges, (R,) int64, identified by its lowest row.

    Parameters
    ----------
    joined
        The merges: cluster `high` becomes part of cluster `low`, each identified as it was at that
        moment.
    rows
        (R,) 0 to R − 1: before the merges every row is a cluster.
    """
    cluster = rows.clone()
    cluster[joined.high] = joined.low
    # Each pass doubles the number of merges followed from a row, until all are followed.
    while not torch.equal(cluster, further := cluster[cluster]):
        cluster = further
    return cluster


def _concatenate(parts: list[Edges]) -> Edges:
    return Edges(
        torch.cat([part.low for part in parts]),
        torch.cat([part.high for part in parts]),
        torch.cat([part.rank for part in parts]),
    )

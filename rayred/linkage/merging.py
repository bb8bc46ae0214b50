"""Merge rounds: all reciprocal nearest clusters of a graph joined at once, until none is left.

Legend: R rows, E edges, G groups.

An edge joins two clusters of which *every* pair of members is in the graph; its weight is the rank
of their largest member pair. Ranks are all different, so every cluster has one nearest neighbour,
and since complete linkage is reducible (a merged cluster is no closer to a third than the nearer of
its parts was), joining all reciprocal nearest neighbours at once makes the tree that joining the
closest pair again and again makes.

Source: Sumengen et al., Scaling hierarchical agglomerative clustering to billion-sized datasets
(arXiv 2105.11653).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FIRST_WINDOW = 2**14
"""Edges that are looked at first."""
UNSEEN = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Edges:
    """Pairs of clusters, each cluster named by its lowest row."""

    low: Tensor
    """(E,) int64, the cluster with the lower name."""
    high: Tensor
    """(E,) int64, the other."""
    rank: Tensor
    """(E,) int64, all different; the rank of the largest member pair."""

    def __getitem__(self, chosen: Tensor | slice) -> Edges:
        return Edges(self.low[chosen], self.high[chosen], self.rank[chosen])

    def __len__(self) -> int:
        return len(self.rank)


def merge_rounds(edges: Edges, group_R: Tensor, needed_G: Tensor) -> Edges:
    """Merge until every group has the merges needed, or its part of the graph is used up.

    Edges come in by ascending rank, in windows that double: the merges up to a rank follow from the
    edges up to that rank alone, so that edges beyond the last merge needed are hardly looked at.

    Parameters
    ----------
    edges
        All pairs of clusters whose every member pair is in the graph, by ascending rank.
    group_R
        (R,) int64, the group of every row; groups are clustered side by side.
    needed_G
        (G,) int64, how many merges of each group are wanted.

    Returns
    -------
    merges
        Clusters merged, by ascending rank: of each group at least the number wanted, or all that
        its part of the graph determines.
    """
    scratch = _Scratch.of(edges.rank, len(group_R))
    merged = [edges[:0]]
    left = needed_G.clone()
    size = FIRST_WINDOW
    while len(edges):
        joined = _use_up(edges[:size], scratch)
        merged.append(joined)
        left -= torch.bincount(group_R[joined.low], minlength=len(left))
        edges = edges[(left[group_R[edges.low]] > 0).nonzero().squeeze(1)]
        edges = _contract(edges, joined, scratch)
        edges = edges[torch.argsort(edges.rank)]
        size *= 2
    return _concatenate(merged)


def _use_up(edges: Edges, scratch: _Scratch) -> Edges:
    """Join reciprocal nearest neighbours until no edge is left; merges by ascending rank."""
    merged = [edges[:0]]
    nearest = scratch.nearest
    while len(edges):
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


@dataclass(frozen=True)
class _Scratch:
    """One entry a row, left by every function as it was found."""

    nearest: Tensor
    """(R,) `UNSEEN` everywhere."""
    name: Tensor
    """(R,) every row its own."""
    parts: Tensor
    """(R,) one everywhere."""

    @classmethod
    def of(cls, like: Tensor, rows: int) -> _Scratch:
        name = torch.arange(rows, device=like.device)
        return cls(torch.full_like(name, UNSEEN), name, torch.ones_like(name))


def _contract(edges: Edges, joined: Edges, scratch: _Scratch) -> Edges:
    """Return the edges between the clusters that are there after `joined` were merged.

    A pair of new clusters has an edge if every pair of their parts had one; its rank is the largest
    of theirs.
    """
    if not len(joined) or not len(edges):
        return edges
    name, parts = scratch.name, scratch.parts
    final = follow_names(joined, name)
    rows = torch.cat([joined.low, joined.high]).unique()  # type: ignore[no-untyped-call]
    name[rows] = final[rows]
    parts[name[rows]] = torch.bincount(name[rows], minlength=len(name))[name[rows]]
    a, b = name[edges.low], name[edges.high]
    touched = (parts[a] > 1) | (parts[b] > 1)
    rest = edges[(~touched).nonzero().squeeze(1)]
    kept = (touched & (a != b)).nonzero().squeeze(1)
    a, b, rank = a[kept], b[kept], edges.rank[kept]
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    by_key = torch.argsort(low * len(name) + high)
    low, high, rank = low[by_key], high[by_key], rank[by_key]
    opens = torch.ones_like(rank, dtype=torch.bool)
    opens[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    run = torch.cumsum(opens, 0) - 1
    first = opens.nonzero().squeeze(1)
    low, high = low[first], high[first]
    count = torch.bincount(run, minlength=len(low))
    rank = rank.new_zeros(len(low)).scatter_reduce_(0, run, rank, "amax")
    whole = (count == parts[low] * parts[high]).nonzero().squeeze(1)
    name[rows] = rows
    parts[rows] = 1
    return _concatenate([rest, Edges(low[whole], high[whole], rank[whole])])


def follow_names(joined: Edges, rows: Tensor) -> Tensor:
    """Return the cluster that every row belongs to after merges, named by its lowest row.

    Parameters
    ----------
    joined
        Merges, each of the cluster `high` into the cluster `low` of the moment.
    rows
        (R,) 0 to R − 1.
    """
    name = rows.clone()
    name[joined.high] = joined.low
    # A chain of merges is followed to its end: each pass halves the way that is left.
    while not torch.equal(name, further := name[name]):
        name = further
    return name


def _concatenate(parts: list[Edges]) -> Edges:
    return Edges(
        torch.cat([part.low for part in parts]),
        torch.cat([part.high for part in parts]),
        torch.cat([part.rank for part in parts]),
    )

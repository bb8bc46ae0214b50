"""Equal rows merged before everything else, so that the engine works on distinct rows only.

Legend: N rows of one group, R distinct rows of it, D dimensions, M merges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.linkage.tree import Tree

HASHED_BYTES = 2**18
"""Bytes of the rows that are hashed at a time: they stay in the cache."""
FIRST_COLUMNS = 32
"""About the number of columns that are hashed first."""


@dataclass(frozen=True)
class DistinctRows:
    """The distinct rows of one group, in the order of their last occurrences."""

    unit: Tensor
    """(R, D) float64 rows of length 1, each once."""
    last: NDArray[np.int64]
    """(R,) ascending: the last of the N rows that is equal to each distinct row. Of the pairs
    between equal rows, that of the last rows is the largest by (d, i, j), and decides ties."""
    duplicates: NDArray[np.int64]
    """(N − R, 2): each repeated row and the last equal row before it, by ascending latter."""
    n_rows: int
    """N."""

    def tree(self, pairs: NDArray[np.int64], heights: NDArray[np.float64], n_clusters: int) -> Tree:
        """Return the tree of all N rows: equal rows merged first, at height 0, then the others.

        Parameters
        ----------
        pairs
            (M, 2) the merges of the distinct rows, by ascending height. A cluster is identified by
            one of its distinct rows; the merged one keeps the identifier of the first.
        heights
            (M,) their heights.
        n_clusters
            The smallest number of clusters that the tree will be cut into; merges beyond it are
            left out.
        """
        merges = np.concatenate([self.duplicates, self.last[pairs].reshape(-1, 2)])
        levels = np.concatenate([np.zeros(len(self.duplicates)), heights])
        wanted = self.n_rows - n_clusters
        return _assemble(self.n_rows, merges[:wanted], levels[:wanted])


def distinct_groups(unit: Tensor, sizes: list[int]) -> list[DistinctRows]:
    """Find the equal rows within each group of (N, D) float64 rows of length 1, group after group.

    Rows are first compared by hash over all groups: nearly always all of them differ.
    """
    if len(sizes) > 1 and bool((_hashes(unit).sort().values.diff() != 0).all()):
        none = np.empty((0, 2), np.int64)
        return [
            DistinctRows(part, np.arange(len(part)), none, len(part))
            for part in torch.split(unit, sizes)
        ]
    return [distinct_rows(part) for part in torch.split(unit, sizes)]


def distinct_rows(unit: Tensor) -> DistinctRows:
    """Find the equal rows among (N, D) float64 rows of length 1.

    Rows are sorted by a hash of their bits, and neighbours of one hash are compared. Where unequal
    rows share a hash, the rows with that hash are sorted by all their numbers. Of long rows, those
    that are like no other in some of their columns are left out before.
    """
    n, device = len(unit), unit.device
    step = max(1, unit.shape[1] // FIRST_COLUMNS)
    hashed, order = _hashes(unit[:, ::step]).sort(stable=True)
    same = hashed[1:] == hashed[:-1]
    if step > 1 and same.any():
        alike = torch.zeros(n, dtype=torch.bool, device=device)
        alike[order[1:][same]] = alike[order[:-1][same]] = True
        rows = alike.nonzero().squeeze(1)
        hashed, by_hash = _hashes(unit[rows]).sort(stable=True)
        order, same = rows[by_hash], hashed[1:] == hashed[:-1]
    twin = same.nonzero().squeeze(1)
    if not len(twin):
        return DistinctRows(unit, np.arange(n), np.empty((0, 2), np.int64), n)
    unequal = twin[(unit[order[twin + 1]] != unit[order[twin]]).any(dim=1)]
    if len(unequal):
        shared = torch.isin(hashed, hashed[unequal])
        rows = order[shared]
        _, values = np.unique(unit[rows].cpu().numpy(), axis=0, return_inverse=True)
        value = torch.from_numpy(values).to(device)
        by_value = value.argsort(stable=True)
        # By hash and value: rows of one hash stay beside each other.
        by_both = by_value[hashed[shared][by_value].argsort(stable=True)]
        order[shared] = rows[by_both]
        value_of = torch.empty_like(order)
        value_of[shared] = value[by_both]
        of_values = value_of[1:] == value_of[:-1]
        same = torch.where(shared[1:] & shared[:-1], of_values, same)
    repeated, before = order[1:][same], order[:-1][same]
    followed = torch.zeros(n, dtype=torch.bool, device=device)
    followed[before] = True
    last = (~followed).nonzero().squeeze(1)
    by_row = before.argsort()
    duplicates = torch.stack([repeated[by_row], before[by_row]], dim=1)
    return DistinctRows(unit[last], last.cpu().numpy(), duplicates.cpu().numpy(), n)


def _hashes(unit: Tensor) -> Tensor:
    """Return a hash of the bits of each row, (N,) int64."""
    weights_D = torch.from_numpy(_weights(unit.shape[1])).to(unit.device)
    hashes = torch.empty(len(unit), dtype=torch.int64, device=unit.device)
    at_a_time = max(1, HASHED_BYTES // (8 * unit.shape[1]))
    for first in range(0, len(unit), at_a_time):
        # −0.0 becomes 0.0, whose bits differ.
        bits = (unit[first : first + at_a_time] + 0.0).view(torch.int64)
        # Sign, exponent and first digits, where rows of few different values differ, are brought to
        # the low half too: of a sum modulo 2⁶⁴, high bits of the terms reach high bits only.
        bits ^= (bits >> 32) & (2**32 - 1)
        # Integer products and sums wrap around, so that their order makes no difference.
        hashes[first : first + at_a_time] = bits.mul_(weights_D).sum(1)
    return hashes


@cache
def _weights(columns: int) -> NDArray[np.int64]:
    """Return the odd factors of the bits of each column, (D,)."""
    return np.random.default_rng(0).integers(-(2**62), 2**62, columns) | 1


def _assemble(n_rows: int, merges: NDArray[np.int64], heights: NDArray[np.float64]) -> Tree:
    """Return the tree of merges given by rows instead of nodes.

    A cluster is identified by one of its rows, and a merged cluster keeps the identifier of the
    first of the two. So the node of a cluster is the one made by the last merge before that had its
    identifier as the first, or the row itself if there is none.

    Parameters
    ----------
    n_rows
        N.
    merges
        (M, 2) the identifiers of the two clusters merged.
    heights
        (M,) ascending.
    """
    count = len(merges)
    kept, absorbed = merges[:, 0], merges[:, 1]
    time = np.arange(count)
    made = np.sort(kept * count + time)
    children = np.empty((count, 2), np.int64)
    for side, row in enumerate((kept, absorbed)):
        place = np.searchsorted(made, row * count + time) - 1
        last = made[np.maximum(place, 0)]
        earlier = (place >= 0) & (last // max(count, 1) == row)
        children[:, side] = np.where(earlier, n_rows + last % max(count, 1), row)
    children.sort(axis=1)
    return Tree(n_rows, children, heights)

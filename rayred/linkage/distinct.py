"""Equal rows merged before everything else, so that the engine works on distinct rows only.

Legend: N rows of one group, R distinct rows of it, D dimensions, M merges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.linkage.tree import Tree


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


def distinct_rows(unit: Tensor) -> DistinctRows:
    """Find the equal rows among (N, D) float64 rows of length 1.

    Rows are sorted by a hash of their bits, and neighbours of one hash are compared. Should unequal
    rows share a hash, a duplicate may be missed and stands in the graph as a row of its own.
    """
    n, device = len(unit), unit.device
    bits = (unit + 0.0).view(torch.int64)  # −0.0 becomes 0.0, whose bits differ
    weights = np.random.default_rng(0).integers(-(2**62), 2**62, bits.shape[1]) | 1
    # Integer products and sums wrap around, so that their order makes no difference.
    hashed, order = (bits * torch.from_numpy(weights).to(device)).sum(1).sort(stable=True)
    same = hashed[1:] == hashed[:-1]
    twin = same.nonzero().squeeze(1)
    if not len(twin):
        return DistinctRows(unit, np.arange(n), np.empty((0, 2), np.int64), n)
    same[twin] = (unit[order[twin + 1]] == unit[order[twin]]).all(dim=1)
    repeated, before = order[1:][same], order[:-1][same]
    followed = torch.zeros(n, dtype=torch.bool, device=device)
    followed[before] = True
    last = (~followed).nonzero().squeeze(1)
    by_row = before.argsort()
    duplicates = torch.stack([repeated[by_row], before[by_row]], dim=1)
    return DistinctRows(unit[last], last.cpu().numpy(), duplicates.cpu().numpy(), n)


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

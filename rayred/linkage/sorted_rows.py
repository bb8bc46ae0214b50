"""Rows sorted by cluster, and products over all of them in blocks.

Legend: R rows, D dimensions, K clusters, F of the clusters that a strip of whole clusters has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rayred.linkage.pairs import cluster_factors, pair_distances

Tile = tuple[slice, slice]
"""Rows and columns of one block of the product of all sorted rows with each other."""


@dataclass(frozen=True)
class SortedRows:
    """All rows sorted by cluster, and the factors whose product is minus their distances."""

    members: Tensor
    """(R,) the number of each sorted row."""
    label: Tensor
    """(R,) ascending, the cluster of each sorted row as a position in `names`."""
    names: Tensor
    """(K,) ascending, the clusters, each identified by its lowest row."""
    size: Tensor
    """(R,) the size of the cluster identified by each row; 0 where there is none."""
    start: Tensor
    """(R,) the place of that cluster's first sorted row."""
    left: Tensor
    """(R, D + 2) float32, see `cluster_factors`."""
    right: Tensor
    """(R, D + 2) float32."""
    slack: Tensor
    """(K,) float32: the rounding error of an entry is at most the sum of those of its clusters."""

    @classmethod
    def of(cls, unit: Tensor, cluster: Tensor) -> SortedRows:
        """Sort (R, D) float64 rows of length 1 by their (R,) clusters."""
        members, size, start = by_cluster(cluster)
        names = size.nonzero().squeeze(1)
        label = torch.repeat_interleave(torch.arange(len(names), device=unit.device), size[names])
        rows = torch.arange(len(unit), device=unit.device)
        left, right, slack_R = cluster_factors(unit[members], rows, rows)
        slack = slack_R.new_zeros(len(names)).scatter_reduce_(0, label, slack_R, "amax")
        return cls(members, label, names, size, start, left, right, slack)

    def smallest_products(self, first: int, end: int, tiles: list[Tile]) -> Tensor:
        """Return the smallest −d of each pair of clusters, for the clusters `first` to `end` − 1.

        Returns
        -------
        smallest
            (F, K) float32, F = end − first; infinite for pairs that the tiles do not cover.
        """
        smallest = self.left.new_full((end - first, len(self.names)), torch.inf)
        for i, j in tiles:
            by_column = _smallest_of_runs(self.right[j] @ self.left[i].T, self.label[j])
            least = _smallest_of_runs(by_column.T.contiguous(), self.label[i])
            own, all_ = self._clusters_of(i), self._clusters_of(j)
            part = smallest[own.start - first : own.stop - first, all_]
            torch.minimum(part, least, out=part)
        return smallest

    def measure(
        self, unit: Tensor, first: int, tiles: list[Tile], bound: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield the pairs of rows whose −d is at most the bound of their clusters, measured.

        Parameters
        ----------
        unit
            (R, D) float64 rows of length 1.
        first
            The cluster of the first row of `bound`.
        tiles
            The blocks of the product to look at.
        bound
            (F, K) float32; −∞ for pairs of clusters that are not wanted.

        Yields
        ------
        distance, pair, i, j
            Of each block with such clusters: distances, the number of the pair of clusters among
            all finite entries of `bound`, and the two rows.
        """
        wanted = bound > -torch.inf
        place = torch.cumsum(wanted.flatten(), 0).view_as(wanted) - 1
        for i, j in tiles:
            seen = self._clusters_of(j)
            if not wanted[:, seen].any():
                continue
            bounds = bound[:, seen].index_select(0, self.label[i] - first)
            bounds = bounds.index_select(1, self.label[j] - seen.start)
            row, column = (self.left[i] @ self.right[j].T <= bounds).nonzero(as_tuple=True)
            row, column = row + i.start, column + j.start
            pair = place[self.label[row] - first, self.label[column]]
            low, high = self.members[row], self.members[column]
            yield pair_distances(unit, low, high), pair, low, high

    def _clusters_of(self, rows: slice) -> slice:
        """Return the clusters of some sorted rows, as positions in `names`."""
        return slice(int(self.label[rows.start]), int(self.label[rows.stop - 1]) + 1)


def _smallest_of_runs(values_NM: Tensor, label_N: Tensor) -> Tensor:
    """Return the smallest value of each column in every run of rows of one label.

    Parameters
    ----------
    values_NM
        (N, M) numbers; overwritten.
    label_N
        (N,) labels, equal ones beside each other.

    Returns
    -------
    smallest
        (number of runs, M).
    """
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


def by_cluster(cluster: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows sorted by cluster, and the size and first place of every cluster.

    All three are (R,); sizes and places stand at the cluster's lowest row.
    """
    members = torch.argsort(cluster, stable=True)
    size = torch.bincount(cluster, minlength=len(cluster))
    return members, size, torch.cumsum(size, 0) - size

"""The bottom of a hierarchical clustering tree, and its cuts.

Legend: N rows, M merges, K clusters.

>>> tree = Tree(3, np.array([[0, 2]]), np.array([0.1], np.float32))
>>> tree.labels(2), tree.labels(3)
(array([0, 1, 0]), array([0, 1, 2]))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Tree:
    """The first merges of an agglomerative clustering, in order of height."""

    n_rows: int
    """N, the number of rows clustered."""
    children: NDArray[np.int64]
    """(M, 2) the two clusters of each merge: rows are 0 to N − 1, merge i makes cluster N + i."""
    heights: NDArray[np.float32]
    """(M,) ascending distances at which they were merged."""

    @property
    def n_clusters(self) -> int:
        """The fewest clusters that the tree can be cut into, N − M."""
        return self.n_rows - len(self.children)

    def labels(self, n_clusters: int) -> NDArray[np.int64]:
        """Cut the tree into clusters, in O(N).

        Parameters
        ----------
        n_clusters
            K, from the tree's own `n_clusters` to the number of rows.

        Returns
        -------
        labels
            (N,) int64, 0 to K − 1, numbered in order of each cluster's lowest row.

        Raises
        ------
        ValueError
            K is out of reach.
        """
        if not self.n_clusters <= n_clusters <= self.n_rows:
            raise ValueError(
                f"n_clusters is {n_clusters}; this tree can be cut into {self.n_clusters} to"
                f" {self.n_rows} clusters"
            )
        merges = self.n_rows - n_clusters
        parents = np.repeat(np.arange(self.n_rows, self.n_rows + merges), 2)
        nodes = self.n_rows + merges
        edges = coo_array(
            (np.ones(2 * merges, np.int8), (parents, self.children[:merges].ravel())),
            shape=(nodes, nodes),
        )
        _, component = connected_components(edges, directed=False)
        return number_by_first_row(component[: self.n_rows])


def number_by_first_row(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Renumber (N,) labels 0 to K − 1 in order of each one's first occurrence."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]

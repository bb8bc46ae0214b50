"""A hierarchical clustering tree (dendrogram) up to some height, and its cuts into clusters.

Needs NumPy and SciPy only.

Legend: N rows, M merges, K clusters.

>>> import numpy as np
>>> tree = Tree(3, np.array([[0, 2]]), np.array([0.1]))
>>> tree.labels(2), tree.labels(3)
(array([0, 1, 0]), array([0, 1, 2]))
>>> Tree(3, np.array([[0, 2], [1, 3]]), np.array([0.1, 0.4])).to_linkage()
array([[0. , 2. , 0.1, 2. ],
       [1. , 3. , 0.4, 3. ]])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True, eq=False)
class Tree:
    """The lowest M merges of an agglomerative clustering, by ascending height.

    Trees are equal if they are of as many rows and their merges and heights are equal to the bit.
    """

    n_rows: int
    """N, the number of rows clustered."""
    children: NDArray[np.int64]
    """(M, 2) the two nodes of each merge: nodes 0 to N − 1 are rows, merge i makes node N + i."""
    heights: NDArray[np.float64]
    """(M,) ascending merge heights: the linkage distance of the two clusters merged."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[int, bytes, bytes]:
        return self.n_rows, self.children.tobytes(), self.heights.tobytes()

    @property
    def n_clusters(self) -> int:
        """The smallest number of clusters that the tree can be cut into, N − M."""
        return self.n_rows - len(self.children)

    def up_to(self, distance: float) -> Tree:
        """Return the tree without its merges above a height.

        Raises
        ------
        ValueError
            The height is negative or NaN.
        """
        check_distance(distance)
        merges = int(np.searchsorted(self.heights, distance, side="right"))
        return Tree(self.n_rows, self.children[:merges], self.heights[:merges])

    def labels(self, n_clusters: int) -> NDArray[np.int64]:
        """Cut the tree into clusters, in time O(N).

        Parameters
        ----------
        n_clusters
            K, from the tree's own `n_clusters` to N.

        Returns
        -------
        labels
            (N,) int64: the cluster of each row, 0 to K − 1, numbered in the order of the clusters'
            lowest rows.

        Raises
        ------
        ValueError
            `n_clusters` is no integer, or is not within that range.
        """
        check_n_clusters(n_clusters, self.n_clusters, self.n_rows)
        merges = self.n_rows - n_clusters
        parents = np.repeat(np.arange(self.n_rows, self.n_rows + merges), 2)
        nodes = self.n_rows + merges
        edges = coo_array(
            (np.ones(2 * merges, np.int8), (parents, self.children[:merges].ravel())),
            shape=(nodes, nodes),
        )
        _, component = connected_components(edges, directed=False)
        return number_by_first_row(component[: self.n_rows])

    def to_linkage(self) -> NDArray[np.float64]:
        """Return a complete tree in the form of SciPy's `scipy.cluster.hierarchy.linkage`.

        Returns
        -------
        linkage
            (N − 1, 4) float64, one merge a row: its two nodes, the lower first; its height; and the
            number of rows of the new cluster. A tree of one row gives (0, 4), as fastcluster does;
            SciPy's functions refuse that, as they need two rows.

        Raises
        ------
        ValueError
            The tree cannot be cut into one cluster.
        """
        if self.n_clusters != 1:
            raise ValueError(
                f"the tree ends at {self.n_clusters} clusters, and SciPy's form needs all merges;"
                " build it with n_clusters=1"
            )
        sizes = [1] * self.n_rows
        for a, b in self.children.tolist():
            sizes.append(sizes[a] + sizes[b])
        return np.column_stack(
            [np.sort(self.children, axis=1), self.heights, sizes[self.n_rows :]]
        ).astype(np.float64)


def check_n_clusters(n_clusters: Any, smallest: int, n_rows: int) -> None:
    """Check a number of clusters.

    Raises
    ------
    ValueError
        It is no integer, or is not `smallest` to `n_rows`.
    """
    if (
        not isinstance(n_clusters, int | np.integer)
        or isinstance(n_clusters, bool)
        or not smallest <= n_clusters <= n_rows
    ):
        raise ValueError(
            f"n_clusters is {n_clusters!r}; expected an integer from {smallest} to {n_rows}"
        )


def check_distance(max_distance: float) -> None:
    """Raise ValueError unless the largest height of a merge is a number of 0 or more."""
    if not max_distance >= 0:
        raise ValueError(f"max_distance is {max_distance!r}; expected 0 or more")


def number_by_first_row(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return (N,) labels renumbered 0 to K − 1 in the order in which they first occur."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]

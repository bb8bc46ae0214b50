"""Trees of any linkage method by SciPy, with all n² / 2 distances in memory.

It is the reference that the other back ends are tested against.

Legend: N rows, n rows clustered, D dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist

from rayred.linkage.rows import as_unit_rows
from rayred.linkage.tree import Tree, check_n_clusters


def scipy_tree(
    x: ArrayLike, n_clusters: int, method: str, rows: NDArray[np.int64] | None = None
) -> Tree:
    """Return the tree of rows under cosine distance.

    The distance of unit rows a and b is computed as ‖a − b‖² / 2 in float64. It is exactly 0 for
    equal rows, and keeps its digits where rows are so close that 1 − a·b would cancel.

    Parameters
    ----------
    x
        (N, D) real numbers.
    n_clusters
        The smallest number of clusters that the tree will be cut into, 1 to n.
    method
        ``complete``, ``average`` or ``single``.
    rows
        (n,) the rows to cluster; all of them by default.

    Raises
    ------
    ValueError
        `x` is not a matrix of finite real numbers, one of the rows is all zero, or `n_clusters` is
        not 1 to n.
    """
    unit = as_unit_rows(x, rows)
    n_rows = len(unit)
    check_n_clusters(n_clusters, 1, n_rows)
    if n_rows == 1:
        return Tree(1, np.empty((0, 2), np.int64), np.empty(0))
    merges = linkage(pdist(unit, "sqeuclidean") / 2, method=method)[: n_rows - n_clusters]
    return Tree(n_rows, merges[:, :2].astype(np.int64), merges[:, 2])

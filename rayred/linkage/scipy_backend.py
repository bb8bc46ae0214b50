"""Trees by SciPy: the reference; needs all n² / 2 distances in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist

from rayred.linkage.rows import as_unit_rows, check_n_clusters
from rayred.linkage.tree import Tree


def scipy_tree(x: ArrayLike, n_clusters: int, method: str) -> Tree:
    """Return the tree down to `n_clusters` clusters.

    The cosine distance of unit rows a and b is computed as ‖a − b‖² / 2 in float64: exactly 0 for
    equal rows, and with no digits lost where classes have collapsed and 1 − a·b is tiny.
    """
    unit = as_unit_rows(x)
    n_rows = len(unit)
    check_n_clusters(n_clusters, n_rows)
    if n_rows == 1:
        return Tree(1, np.empty((0, 2), np.int64), np.empty(0, np.float32))
    merges = linkage(pdist(unit, "sqeuclidean") / 2, method=method)[: n_rows - n_clusters]
    return Tree(n_rows, merges[:, :2].astype(np.int64), merges[:, 2].astype(np.float32))

"""Hierarchical clustering under cosine distance: trees, cuts and representatives.

Usable by itself: it knows nothing of images, networks or Ray.

>>> import numpy as np
>>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0], [1.0, 0.05]])
>>> tree = complete_linkage(x, n_clusters=2)
>>> tree.labels(2)
array([0, 1, 0, 1, 0])
>>> representatives(x, tree.labels(2))
array([4, 1])
"""

from __future__ import annotations

from typing import Literal

from numpy.typing import ArrayLike

from rayred.linkage.estimator import CompleteLinkage
from rayred.linkage.representatives import representatives
from rayred.linkage.scipy_backend import scipy_tree
from rayred.linkage.tree import Tree

__all__ = ["CompleteLinkage", "Tree", "complete_linkage", "linkage_tree", "representatives"]

Method = Literal["complete", "average", "single"]
Backend = Literal["auto", "scipy"]


def linkage_tree(
    x: ArrayLike,
    n_clusters: int = 1,
    *,
    method: Method = "complete",
    backend: Backend = "auto",  # noqa: ARG001 - the seam where another back end comes in
) -> Tree:
    """Cluster rows bottom-up under cosine distance, down to `n_clusters` clusters.

    Parameters
    ----------
    x
        (n, d) real numbers, n ≥ 1; no row may be zero.
    n_clusters
        The fewest clusters that the tree will be cut into, 1 to n.
    method
        Distance of two clusters: the largest (complete), the mean (average) or the smallest
        (single) between their members.
    backend
        What computes it.

    Raises
    ------
    ValueError
        `x` or `n_clusters` cannot be used.
    """
    return scipy_tree(x, n_clusters, method)


def complete_linkage(x: ArrayLike, n_clusters: int = 1) -> Tree:
    """Cluster rows by complete linkage under cosine distance; see `linkage_tree`.

    Source: Defays, An efficient algorithm for a complete link method (1977).
    """
    return linkage_tree(x, n_clusters)

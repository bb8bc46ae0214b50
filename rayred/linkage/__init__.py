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

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rayred.linkage.cuml_backend import cuml_tree
from rayred.linkage.engine import EngineSettings, complete_trees
from rayred.linkage.representatives import representatives
from rayred.linkage.rows import as_matrix
from rayred.linkage.scipy_backend import scipy_tree
from rayred.linkage.tree import Tree

if TYPE_CHECKING:
    from rayred.linkage.estimator import CompleteLinkage

__all__ = [
    "CompleteLinkage",
    "EngineSettings",
    "Tree",
    "complete_linkage",
    "linkage_trees",
    "representatives",
]

Method = Literal["complete", "average", "single"]
Backend = Literal["auto", "torch", "cuml", "scipy"]


def __getattr__(name: str) -> Any:
    """Import the estimator only when asked for: scikit-learn costs every trial 60 MB."""
    if name != "CompleteLinkage":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rayred.linkage.estimator import CompleteLinkage

    return CompleteLinkage


def linkage_trees(
    x: NDArray[np.generic],
    groups: Sequence[NDArray[np.int64]],
    n_clusters: Sequence[int],
    *,
    method: Method = "complete",
    backend: Backend = "auto",
    settings: EngineSettings | None = None,
) -> Iterator[Tree]:
    """Yield the tree of each group of rows under cosine distance, each clustered on its own.

    Parameters
    ----------
    x
        (n, d) real numbers, such as a memory map; no row of a group may be zero.
    groups
        The rows of each group, (n_g,) int64 ascending.
    n_clusters
        For each group the fewest clusters that its tree will be cut into, 1 to n_g.
    method
        Distance of two clusters: the largest (complete), the mean (average) or the smallest
        (single) between their members.
    backend
        ``torch``: rayred's own engine, on CPU or GPU, complete linkage only. ``cuml``: RAPIDS on a
        GPU, single linkage only. ``scipy``: any method, with all n_g² / 2 distances in memory.
        ``auto``: torch for complete linkage, else scipy.
    settings
        Of the torch back end.

    Raises
    ------
    ValueError
        A row, a number of clusters, or the combination of method and back end cannot be used.
    """
    only = {"torch": "complete", "cuml": "single"}.get(backend, method)
    if only != method:
        raise ValueError(
            f"backend {backend} has {only} linkage only, not {method}; choose auto or"
            f" {'torch' if method == 'complete' else 'scipy'}"
        )
    if method == "complete" and backend != "scipy":
        yield from complete_trees(x, groups, n_clusters, settings)
        return
    for rows, count in zip(groups, n_clusters, strict=True):
        if backend == "cuml":
            yield cuml_tree(x[rows], count)
        else:
            yield scipy_tree(x[rows], count, method)


def complete_linkage(
    x: ArrayLike, n_clusters: int = 1, *, settings: EngineSettings | None = None
) -> Tree:
    """Cluster rows by complete linkage under cosine distance, exactly.

    Parameters
    ----------
    x
        (n, d) real numbers, n ≥ 1; no row may be zero.
    n_clusters
        The fewest clusters that the tree will be cut into, 1 to n.
    settings
        Device, block size and first distance; chosen from the data and the machine by default.

    Returns
    -------
    tree
        Its `labels(k)` are the clusters at any k from `n_clusters` to n.

    Raises
    ------
    ValueError
        `x` or `n_clusters` cannot be used.

    Source: Defays, An efficient algorithm for a complete link method (1977).
    """
    array = as_matrix(x)
    return next(complete_trees(array, [np.arange(len(array))], [n_clusters], settings))

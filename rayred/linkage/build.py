"""Functions that build trees: of one matrix, or of many groups of its rows by any back end.

Legend: N rows, D dimensions, G groups, N_g rows of group g.

>>> import numpy as np
>>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0], [1.0, 0.05]])
>>> complete_linkage(x, n_clusters=2).labels(2)
array([0, 1, 0, 1, 0])
>>> groups = [np.array([0, 2, 4]), np.array([1, 3])]
>>> [tree.labels(1) for tree in linkage_trees(x, groups, [1, 1], method="average")]
[array([0, 0, 0]), array([0, 0])]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rayred.linkage.cuml_backend import cuml_tree
from rayred.linkage.engine import complete_trees
from rayred.linkage.rows import as_matrix
from rayred.linkage.scipy_backend import scipy_tree
from rayred.linkage.settings import EngineSettings
from rayred.linkage.tree import Tree

Method = Literal["complete", "average", "single"]
Backend = Literal["auto", "torch", "cuml", "scipy"]

_ONLY_METHOD = {"torch": "complete", "cuml": "single"}
"""The back ends that have a single linkage method; the others have all three."""


def complete_linkage(
    x: ArrayLike,
    n_clusters: int = 1,
    *,
    max_distance: float = math.inf,
    settings: EngineSettings | None = None,
) -> Tree:
    """Cluster rows by complete linkage under cosine distance, exactly.

    Parameters
    ----------
    x
        (N, D) real numbers, N ≥ 1; no row may be all zero.
    n_clusters
        The smallest number of clusters that the tree will be cut into, 1 to N. Merges above that
        cut are not computed: a larger number takes less time and memory.
    max_distance
        The largest height of a merge, 0 or more: the tree ends there if it has not ended before.
        So `labels(tree.n_clusters)` are the clusters in which no two rows are farther apart.
    settings
        Device, block size and first threshold of the engine; chosen from the data and the machine
        by default. They do not change the tree.

    Returns
    -------
    tree
        Its `labels(k)` are the clusters at any k from `n_clusters` to N.

    Raises
    ------
    ValueError
        `x` is not a matrix of finite real numbers, has a row of zeros, `n_clusters` is not 1 to
        N, or `max_distance` is negative or NaN.

    Source: Defays, An efficient algorithm for a complete link method (1977).
    """
    array = as_matrix(x)
    everything = [np.arange(len(array))]
    return next(complete_trees(array, everything, [n_clusters], settings, max_distance))


def linkage_trees(
    x: NDArray[np.generic],
    groups: Sequence[NDArray[np.int64]],
    n_clusters: Sequence[int],
    *,
    method: Method = "complete",
    backend: Backend = "auto",
    settings: EngineSettings | None = None,
    max_distance: float = math.inf,
) -> Iterator[Tree]:
    """Yield one tree for each group of rows, each group clustered by itself.

    Parameters
    ----------
    x
        (N, D) real numbers, for example a memory map; no row of a group may be all zero.
    groups
        G arrays, (N_g,) int64 ascending: the rows of each group.
    n_clusters
        G numbers, 1 to N_g: the smallest number of clusters that each tree will be cut into.
    method
        The distance of two clusters: the largest (``complete``), mean (``average``) or smallest
        (``single``) cosine distance between a row of one and a row of the other.
    backend
        ``torch``: the engine of this room, on CPU or GPU; complete linkage only. ``cuml``: RAPIDS
        cuML on a GPU; single linkage only. ``scipy``: all methods, with all N_g² / 2 distances in
        memory. ``auto``: ``torch`` for complete linkage, otherwise ``scipy``.
    settings
        Settings of the ``torch`` back end; the others ignore them.
    max_distance
        The largest height of a merge, 0 or more: merges above it are not in the trees.

    Yields
    ------
    tree
        The tree of each group, in the order of `groups`; row i of it is the i-th row of the group.

    Raises
    ------
    ValueError
        The back end does not have the method, a row has no cosine distance (NaN, infinite or all
        zero; the message names the row of `x`), a number of clusters is not 1 to N_g, or the
        distance is negative or NaN.
    """
    only = _ONLY_METHOD.get(backend, method)
    if only != method:
        raise ValueError(
            f"backend {backend} has {only} linkage only, not {method}; choose auto or"
            f" {'torch' if method == 'complete' else 'scipy'}"
        )
    if method == "complete" and backend != "scipy":
        yield from complete_trees(x, groups, n_clusters, settings, max_distance)
        return
    for rows, count in zip(groups, n_clusters, strict=True):
        if backend == "cuml":
            tree = cuml_tree(x, count, rows)
        else:
            tree = scipy_tree(x, count, method, rows)
        yield tree.up_to(max_distance)

"""The merges of all trees: at one height in every class, and share by share.

Legend: C classes, G shares.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees, kept_images
from rayred.linkage.tree import Tree


def common_height(trees: ClassTrees, fraction: float) -> float | None:
    """Return a height that all trees reach which have merges.

    It is that of the highest merge at a fraction or, where a tree ends below it, the largest that
    all reach.

    Returns
    -------
    height
        A cosine distance; None if no tree has a merge.
    """
    reaches = [_reach(tree) for tree in trees.trees if len(tree.heights)]
    if not reaches:
        return None
    counts = [kept_images(len(rows), fraction) for rows in trees.members]
    height = trees.height_at(counts)
    return min([height or np.inf, *reaches, max(_ends(trees))])


def shares_at(trees: ClassTrees, height: float, known: float = 0.0) -> NDArray[np.float64]:
    """Return the share of each class that its groups make redundant at one height.

    Parameters
    ----------
    trees
        One tree a class.
    height
        A cosine distance.
    known
        Height up to which all merges are known, also of trees that end below it.

    Returns
    -------
    shares
        (C,) 0 to 1; NaN where the tree ends below the height, as it does without any merge.
    """
    shares = np.full(len(trees.trees), np.nan)
    for label, tree in enumerate(trees.trees):
        if tree.n_rows and max(_reach(tree), known) >= height:
            shares[label] = np.searchsorted(tree.heights, height, side="right") / tree.n_rows
    return shares


def heights_at(trees: ClassTrees, shares: Sequence[float]) -> NDArray[np.float64]:
    """Return the height of the merge at which a share of each class is redundant.

    Parameters
    ----------
    trees
        One tree a class.
    shares
        G shares of a class, 0 to 1: a fraction that is kept leaves out a share of 1 − fraction.

    Returns
    -------
    heights
        (C, G) cosine distances; NaN where nothing is merged, and where a tree ends before.
    """
    heights = np.full((len(trees.trees), len(shares)), np.nan)
    for label, tree in enumerate(trees.trees):
        merges = [tree.n_rows - kept_images(tree.n_rows, 1 - share) for share in shares]
        for place, count in enumerate(merges):
            if 0 < count <= len(tree.heights):
                heights[label, place] = tree.heights[count - 1]
    return heights


def _reach(tree: Tree) -> float:
    """Return the height up to which all merges of a tree are known."""
    if tree.n_clusters <= 1:
        return np.inf
    return float(tree.heights[-1]) if len(tree.heights) else 0.0


def _ends(trees: ClassTrees) -> list[float]:
    return [float(tree.heights[-1]) for tree in trees.trees if len(tree.heights)]

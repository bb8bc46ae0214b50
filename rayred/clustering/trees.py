"""The trees of all classes, and the number of images of a class that a fraction keeps.

Legend: C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.linkage.tree import Tree


@dataclass(frozen=True)
class ClassTrees:
    """One tree a class."""

    members: tuple[NDArray[np.int64], ...]
    """C arrays: the images of each class, ascending; row i of a class's tree is its i-th image."""
    trees: tuple[Tree, ...]
    """C trees, of the same classes."""

    def groups(self, fraction: float) -> NDArray[np.int64]:
        """Return the redundant group of every image at a fraction, (N,) int64, as `groups_at`."""
        return self.groups_at([kept_images(len(rows), fraction) for rows in self.members])

    def groups_at(self, counts: Sequence[int]) -> NDArray[np.int64]:
        """Return the redundant group of every image where each class has so many.

        Returns
        -------
        groups
            (N,) int64, numbered over all classes, class after class.
        """
        groups = np.empty(sum(len(rows) for rows in self.members), dtype=np.int64)
        first = 0
        for rows, tree, count in zip(self.members, self.trees, counts, strict=True):
            groups[rows] = first + tree.labels(count)
            first += count
        return groups

    def height_at(self, counts: Sequence[int]) -> float:
        """Return the height of the highest merge where each class has so many groups; 0: none."""
        merges = [len(rows) - count for rows, count in zip(self.members, counts, strict=True)]
        return max(
            (float(tree.heights[m - 1]) for tree, m in zip(self.trees, merges, strict=True) if m),
            default=0.0,
        )

    def reach(self) -> float:
        """Return the height up to which all merges are known, whatever has ended the trees.

        It is below 0 if a class of several images has no merge.
        """
        # Merges as high as the last one may not be in the tree of a class that ends with it.
        ends = [max(tree.heights, default=0.0) for tree in self.trees if tree.n_clusters > 1]
        return min([2.0, *(math.nextafter(end, -1) for end in ends)])


def save_trees(path: Path, trees: ClassTrees) -> None:
    """Write all trees into one .npz file: arrays of all classes one after another."""
    np.savez(
        path,
        images=np.concatenate(trees.members),
        class_sizes=np.array([len(rows) for rows in trees.members], dtype=np.int64),
        children=np.concatenate([tree.children for tree in trees.trees]),
        heights=np.concatenate([tree.heights for tree in trees.trees]),
        merges=np.array([len(tree.children) for tree in trees.trees], dtype=np.int64),
    )


def load_trees(path: Path) -> ClassTrees:
    """Read what `save_trees` wrote."""
    with np.load(path) as file:
        class_cuts = np.cumsum(file["class_sizes"])[:-1]
        merge_cuts = np.cumsum(file["merges"])[:-1]
        members = np.split(file["images"], class_cuts)
        children = np.split(file["children"], merge_cuts)
        heights = np.split(file["heights"], merge_cuts)
    trees = [
        Tree(len(rows), pairs, levels)
        for rows, pairs, levels in zip(members, children, heights, strict=True)
    ]
    return ClassTrees(tuple(members), tuple(trees))


def kept_images(class_size: int, fraction: float) -> int:
    """Return how many images of a class a subset of this fraction keeps: at least one."""
    return max(1, int(fraction * class_size + 0.5))

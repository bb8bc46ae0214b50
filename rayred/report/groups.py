"""Redundant groups: clusters of more than one image, and the image kept of each.

Legend: N images, K groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees, kept_images


@dataclass(frozen=True)
class Group:
    """One cluster of a class."""

    label: int
    """Index of the class."""
    images: NDArray[np.int64]
    """(n,) int64, the members: those that are kept first, the others in data set order."""
    kept: int
    """How many of them are kept: one, but for a subset that was not chosen by these groups."""


def group_sizes(trees: ClassTrees, fraction: float) -> list[NDArray[np.int64]]:
    """Return the sizes of each class's clusters for a kept fraction: one (K,) int64 per class."""
    return [
        np.bincount(tree.labels(kept_images(len(rows), fraction)))
        for rows, tree in zip(trees.members, trees.trees, strict=True)
    ]


def largest_groups(
    trees: ClassTrees, kept: NDArray[np.int64], fraction: float, count: int
) -> list[Group]:
    """Return the largest redundant group of each of the `count` classes with the largest groups.

    Parameters
    ----------
    trees
        One tree per class.
    kept
        (n,) int64, the images kept at the fraction: of semantic subsets, one of every cluster.
    fraction, count
        Fraction of every class kept, and the largest number of groups to return.

    Returns
    -------
    groups
        In order of class; fewer than `count` if fewer classes have redundant groups.
    """
    sizes = group_sizes(trees, fraction)
    redundant = [label for label in range(len(sizes)) if sizes[label].max() > 1]
    chosen = sorted(redundant, key=lambda label: -int(sizes[label].max()))[:count]
    groups = []
    for label in sorted(chosen):
        rows, tree = trees.members[label], trees.trees[label]
        clusters = tree.labels(kept_images(len(rows), fraction))
        members = rows[clusters == int(np.argmax(sizes[label]))]
        first = np.isin(members, kept)
        ordered = np.concatenate([members[first], members[~first]])
        groups.append(Group(label, ordered, int(first.sum())))
    return groups

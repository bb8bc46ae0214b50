"""Redundant groups: the clusters of more than one image, and the image kept of each.

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
    """Class."""
    images: NDArray[np.int64]
    """Its members, the kept one first, the others in data set order."""


def group_sizes(trees: ClassTrees, fraction: float) -> list[NDArray[np.int64]]:
    """Return, for every class, the sizes of its clusters in a subset of this fraction, (K,)."""
    return [
        np.bincount(tree.labels(kept_images(len(rows), fraction)))
        for rows, tree in zip(trees.members, trees.trees, strict=True)
    ]


def largest_groups(
    trees: ClassTrees, kept: NDArray[np.int64], fraction: float, count: int
) -> list[Group]:
    """Return the largest group of each of the `count` classes that have the largest ones.

    Parameters
    ----------
    trees
        One tree a class.
    kept
        (n,) the images kept at the fraction, one of every cluster.
    fraction, count
        Share of every class kept, and the most groups to return.
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
        groups.append(Group(label, np.concatenate([members[first], members[~first]])))
    return groups

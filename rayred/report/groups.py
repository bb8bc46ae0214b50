"""Redundant groups: clusters of more than one image, and the image kept of each.

Legend: N images, K groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees, kept_images
from rayred.linkage.tree import Tree

Choice = Literal["largest", "tightest", "loosest", "random"]
"""Groups with the most images, with the lowest merge, with the highest one, or any."""


@dataclass(frozen=True)
class Group:
    """One cluster of a class."""

    label: int
    """Index of the class."""
    images: NDArray[np.int64]
    """(n,) int64, the members: those that are kept first, the others in data set order."""
    kept: int
    """How many of them are kept: one, but for a subset that was not chosen by these groups."""
    height: float
    """Height of its last merge: for complete linkage, the cosine distance of its two images that
    are farthest apart."""


def group_sizes(trees: ClassTrees, fraction: float) -> list[NDArray[np.int64]]:
    """Return the sizes of each class's clusters for a kept fraction: one (K,) int64 per class."""
    return [
        np.bincount(tree.labels(kept_images(len(rows), fraction)))
        for rows, tree in zip(trees.members, trees.trees, strict=True)
    ]


def choose_groups(
    trees: ClassTrees,
    kept: NDArray[np.int64],
    fraction: float,
    choice: Choice,
    count: int,
    seed: int = 0,
) -> list[Group]:
    """Return some redundant groups: the first of each class, then the second of each, and so on.

    Parameters
    ----------
    trees, kept
        One tree per class, and the images kept at the fraction, (n,) int64.
    fraction
        Fraction of every class kept.
    choice, count
        Which groups come first, and the largest number of groups to return.
    seed
        Of random groups.

    Returns
    -------
    groups
        In the order of the choice; fewer than `count` if there are fewer.
    """
    generator = np.random.default_rng(seed)
    ranked: list[tuple[int, float, int, int]] = []
    merges = []
    for label, (rows, tree) in enumerate(zip(trees.members, trees.trees, strict=True)):
        merges.append(_last_merges(tree, len(rows) - kept_images(len(rows), fraction)))
        found, sizes = np.unique(merges[label][merges[label] >= 0], return_counts=True)
        first = _order(choice, sizes, tree.heights[found], generator)
        for place, one in enumerate(np.argsort(first, kind="stable")[:count]):
            ranked.append((place, float(first[one]), label, int(found[one])))
    chosen = sorted(sorted(ranked)[:count], key=lambda one: one[1:3])
    return [_group(trees, kept, label, merges[label], merge) for _, _, label, merge in chosen]


def _order(
    choice: Choice,
    sizes: NDArray[np.int64],
    heights: NDArray[np.float64],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return a number of each group; the lowest come first."""
    if choice == "random":
        return generator.random(len(sizes))
    orders = {"largest": -sizes.astype(np.float64), "tightest": heights, "loosest": -heights}
    return orders[choice]


def _group(
    trees: ClassTrees, kept: NDArray[np.int64], label: int, merges: NDArray[np.int64], merge: int
) -> Group:
    """Return the group of a class that a merge makes; `merges` are the last of all its images."""
    members = trees.members[label][merges == merge]
    first = np.isin(members, kept)
    ordered = np.concatenate([members[first], members[~first]])
    height = float(trees.trees[label].heights[merge])
    return Group(label, ordered, int(first.sum()), height)


def _last_merges(tree: Tree, merges: int) -> NDArray[np.int64]:
    """Return the last of the lowest `merges` merges that each row is in, (N,) int64; −1 for none.

    Every node points to the one above it, and skips ever more of them until it points to the top.
    """
    nodes = tree.n_rows + merges
    above = np.arange(nodes)
    above[tree.children[:merges].ravel()] = np.repeat(np.arange(tree.n_rows, nodes), 2)
    while not np.array_equal(further := above[above], above):
        above = further
    return np.maximum(above[: tree.n_rows] - tree.n_rows, -1)

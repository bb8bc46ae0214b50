"""What a person needs to look at groups at any cut, once the embeddings are gone.

Legend: N rows, D embedding dimensions, M merges of all trees, P rows shown, k neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from rayred.clustering.checks import with_directions
from rayred.clustering.exploration import Exploration
from rayred.clustering.standing import highest_of_groups
from rayred.clustering.trees import ClassTrees
from rayred.linkage import Tree, representatives
from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import unit_rows

NEIGHBOURS = 6
"""k, the nearest rows of its class that are known of each row."""
MOST_ROWS = 60_000
"""Most rows that are shown."""
MOST_MEMBERS = 2_000_000
"""Most members of all merges together; a row counts once for every merge that it is part of."""
NUMBERS_AT_A_TIME = 2**24
"""Numbers of embeddings or products that are held at a time."""

KeptOf = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]
"""Takes the rows of some groups, ascending within each, and (n,) which group each belongs to, 0 to
K − 1 in order; returns the (K,) rows that are kept of them."""


def explore(
    x: NDArray[Any],
    trees: ClassTrees,
    kept_of: KeptOf | None = None,
    reach: float | None = None,
) -> Exploration:
    """Return what it takes to look at the groups of N rows.

    Parameters
    ----------
    x
        (N, D) embeddings, for example a memory map, of which a part at a time is read.
    trees
        Trees of all classes.
    kept_of
        Says which row of a group is kept; by default the one closest to the centre.
    reach
        Height up to which all merges are known; by default what `ClassTrees.reach` says.
    """
    trees, reach = shown_part(trees, trees.reach() if reach is None else reach)
    n = sum(map(len, trees.members))
    is_merged = np.zeros(n, np.bool_)
    for members, tree in zip(trees.members, trees.trees, strict=True):
        nodes = tree.children.ravel()
        is_merged[members[nodes[nodes < tree.n_rows]]] = True
    rows = np.arange(n) if n <= MOST_ROWS else np.flatnonzero(is_merged)
    neighbours, distances = np.full((n, NEIGHBOURS), -1), np.full((n, NEIGHBOURS), np.nan)
    places = np.zeros((n, 2), np.float32)
    for members in trees.members:
        shown = np.intersect1d(members, rows)
        if len(shown) > 1:
            unit = unit_rows(with_directions(x[shown]))
            small = unit.float()
            asked = np.flatnonzero(is_merged[shown])
            others, measured = _nearest(unit, small, asked)
            neighbours[shown[asked], : others.shape[1]] = shown[others]
            distances[shown[asked], : others.shape[1]] = measured
            places[shown] = _map(small.numpy())
    kept = kept_of_merges(trees, kept_of or closest_to_centre(x), x.shape[1])
    return Exploration(trees, reach, rows, kept, neighbours[rows], distances[rows], places[rows])


def shown_part(trees: ClassTrees, reach: float) -> tuple[ClassTrees, float]:
    """Return the part of trees whose groups are few and small enough to show, and its reach.

    That is all of them, or all merges below a height.
    """
    heights = np.concatenate([tree.heights for tree in trees.trees])
    rows = np.concatenate([(tree.children < tree.n_rows).sum(axis=1) for tree in trees.trees])
    members = np.concatenate([_sizes(tree) for tree in trees.trees])
    order = np.argsort(heights, kind="stable")
    too_many = np.cumsum(rows[order]) > MOST_ROWS
    too_many |= np.cumsum(members[order]) > MOST_MEMBERS
    if not too_many.any():
        return trees, reach
    end = float(heights[order[int(too_many.argmax())]])
    merges = [int(np.searchsorted(tree.heights, end)) for tree in trees.trees]
    parts = [
        Tree(tree.n_rows, tree.children[:m], tree.heights[:m])
        for tree, m in zip(trees.trees, merges, strict=True)
    ]
    return ClassTrees(trees.members, tuple(parts)), min(reach, math.nextafter(end, -1))


def closest_to_centre(x: NDArray[Any]) -> KeptOf:
    """Return what keeps the row of (N, D) embeddings that is closest to its group's centre."""

    def kept_of(rows: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows[representatives(with_directions(x[rows]), group)]

    return kept_of


def highest(value: NDArray[Any]) -> KeptOf:
    """Return what keeps the row with the highest of (N,) values; of equal ones the lowest row."""

    def kept_of(rows: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows[highest_of_groups(group, value[rows])]

    return kept_of


def kept_of_merges(trees: ClassTrees, kept_of: KeptOf, width: int = 1) -> NDArray[np.int64]:
    """Return the row kept of the group that each merge makes, (M,), class after class.

    `width` is the number of numbers that `kept_of` reads of a row.
    """
    kept = []
    for rows, tree in zip(trees.members, trees.trees, strict=True):
        part: list[NDArray[np.int64]] = []
        numbers = 0
        for members in _members(tree):
            part.append(members)
            numbers += len(members) * width
            if numbers > NUMBERS_AT_A_TIME:
                kept.append(_kept_of_part(rows, part, kept_of))
                part, numbers = [], 0
        kept.append(_kept_of_part(rows, part, kept_of))
    return np.concatenate(kept)


def _kept_of_part(
    rows: NDArray[np.int64], part: list[NDArray[np.int64]], kept_of: KeptOf
) -> NDArray[np.int64]:
    if not part:
        return np.empty(0, np.int64)
    group = np.repeat(np.arange(len(part)), [len(members) for members in part])
    return kept_of(rows[np.concatenate(part)], group)


def _sizes(tree: Tree) -> NDArray[np.int64]:
    """Return the number of rows of the group that each merge makes."""
    sizes = [1] * tree.n_rows
    for a, b in tree.children.tolist():
        sizes.append(sizes[a] + sizes[b])
    return np.array(sizes[tree.n_rows :], np.int64)


def _members(tree: Tree) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of the group that each merge makes, ascending."""
    made: dict[int, NDArray[np.int64]] = {}
    for node, pair in enumerate(tree.children.tolist(), tree.n_rows):
        parts = [made.pop(child, np.array([child])) for child in pair]
        made[node] = np.sort(np.concatenate(parts))
        yield made[node]


def _nearest(
    unit: Tensor, small: Tensor, asked: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest other rows of some of (n, D) rows of length 1, and cosine distances.

    Which are nearest is found by `small`, in float32, and how far they are by `unit`, in float64.
    """
    k = min(NEIGHBOURS, len(unit) - 1)
    found = np.empty((len(asked), k), np.int64)
    distances = np.empty((len(asked), k))
    at_a_time = max(1, NUMBERS_AT_A_TIME // len(unit))
    for first in range(0, len(asked), at_a_time):
        part = torch.from_numpy(asked[first : first + at_a_time])
        products = small[part] @ small.T
        products[torch.arange(len(part)), part] = -torch.inf
        others = products.topk(k).indices
        ours = part.repeat_interleave(k)
        measured = pair_distances(unit, ours, others.ravel()).numpy().reshape(-1, k)
        order = np.lexsort([others.numpy(), measured], axis=1)
        found[first : first + at_a_time] = np.take_along_axis(others.numpy(), order, 1)
        distances[first : first + at_a_time] = np.take_along_axis(measured, order, 1)
    return found, distances


def _map(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first two principal components of (n, D) rows, (n, 2); overwrites the rows."""
    unit -= unit.mean(axis=0)
    parts = min(2, *unit.shape)
    u, s, _ = randomized_svd(unit, parts, random_state=0)
    found = np.zeros((len(unit), 2), np.float32)
    found[:, :parts] = u * s
    return found

"""What a person needs to look at groups at any cut, once the embeddings are gone.

Legend: N rows, D embedding dimensions, M merges of all trees, P rows shown, k neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from rayred.clustering.checks import with_directions
from rayred.clustering.exploration import Exploration
from rayred.clustering.trees import ClassTrees
from rayred.linkage import Tree, representatives
from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import unit_rows

NEIGHBOURS = 6
"""k, the nearest rows of its class that are known of each row."""
MOST_ROWS = 60_000
"""Most rows that are shown."""
MOST_MEMBERS = 2**25
"""Most members of all merges together; a row counts once for every merge that it is part of."""
MOST_NUMBERS = 2**32
"""Most numbers of their embeddings."""
NUMBERS_AT_A_TIME = 2**24
"""Numbers of embeddings or products that are held at a time."""


def explore(
    x: NDArray[Any],
    trees: ClassTrees,
    value: NDArray[Any] | None = None,
    reach: float | None = None,
) -> Exploration:
    """Return what it takes to look at the groups of N rows.

    Parameters
    ----------
    x
        (N, D) embeddings, for example a memory map, of which a part at a time is read.
    trees
        Trees of all classes.
    value
        (N,) numbers, of which the row of the highest is kept of each group; by default the row
        closest to the group's centre is.
    reach
        Height up to which all merges are known; by default what `ClassTrees.reach` says.
    """
    given = trees
    trees, reach = shown_part(trees, trees.reach() if reach is None else reach, x.shape[1])
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
    kept = centres_of_merges(trees, x) if value is None else best_of_merges(trees, value)
    return Exploration(
        trees, reach, trees is given, rows, kept, neighbours[rows], distances[rows], places[rows]
    )


def shown_part(trees: ClassTrees, reach: float, width: int) -> tuple[ClassTrees, float]:
    """Return the part of trees whose groups are few and small enough to show, and its reach.

    That is all of them, or all merges below a height. Embeddings have `width` numbers; those of
    rows that are merged at a height of 0 are equal, and are not read.
    """
    heights = np.concatenate([tree.heights for tree in trees.trees])
    rows = np.concatenate([(tree.children < tree.n_rows).sum(axis=1) for tree in trees.trees])
    members = np.where(heights > 0, np.concatenate([_sizes(tree) for tree in trees.trees]), 0)
    order = np.argsort(heights, kind="stable")
    too_many = np.cumsum(rows[order]) > MOST_ROWS
    too_many |= np.cumsum(members[order]) > min(MOST_MEMBERS, MOST_NUMBERS // width)
    if not too_many.any():
        return trees, reach
    end = float(heights[order[int(too_many.argmax())]])
    merges = [int(np.searchsorted(tree.heights, end)) for tree in trees.trees]
    parts = [
        Tree(tree.n_rows, tree.children[:m], tree.heights[:m])
        for tree, m in zip(trees.trees, merges, strict=True)
    ]
    return ClassTrees(trees.members, tuple(parts)), min(reach, math.nextafter(end, -1))


def best_of_merges(trees: ClassTrees, value: NDArray[Any]) -> NDArray[np.int64]:
    """Return the row of the highest value of the group that each merge makes, (M,).

    Of equal values, that of the lowest row. `value` is (N,).
    """
    return np.concatenate(
        [
            rows[_best(tree, value[rows], len(tree.children))]
            for rows, tree in zip(trees.members, trees.trees, strict=True)
        ]
    )


def centres_of_merges(trees: ClassTrees, x: NDArray[Any]) -> NDArray[np.int64]:
    """Return the row closest to the centre of the group that each merge makes, (M,).

    It is that of `rayred.linkage.representatives`. `x` are (N, D) embeddings, which are equal if
    they are merged at a height of 0, so that the lowest of them is kept.
    """
    kept = []
    for rows, tree in zip(trees.members, trees.trees, strict=True):
        first = int(np.searchsorted(tree.heights, 0, side="right"))
        kept.append(rows[_best(tree, np.zeros(tree.n_rows), first)])
        part: list[NDArray[np.int64]] = []
        numbers = 0
        for members in _members(tree, first):
            part.append(rows[members])
            numbers += len(members) * x.shape[1]
            if numbers > NUMBERS_AT_A_TIME:
                kept.append(_closest(x, part))
                part, numbers = [], 0
        kept.append(_closest(x, part))
    return np.concatenate(kept)


def _closest(x: NDArray[Any], groups: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the row of each group, rows ascending, that is closest to its centre."""
    if not groups:
        return np.empty(0, np.int64)
    rows = np.concatenate(groups)
    group = np.repeat(np.arange(len(groups)), [len(members) for members in groups])
    return rows[representatives(with_directions(x[rows]), group)]


def _best(tree: Tree, value: NDArray[Any], merges: int) -> NDArray[np.int64]:
    """Return the row of the highest value of the group that each of the first merges makes."""
    best, order = [*range(tree.n_rows)], value.tolist()
    for a, b in tree.children[:merges].tolist():
        best.append(min(best[a], best[b], key=lambda row: (-order[row], row)))
    return np.array(best[tree.n_rows :], np.int64)


def _sizes(tree: Tree) -> NDArray[np.int64]:
    """Return the number of rows of the group that each merge makes."""
    sizes = [1] * tree.n_rows
    for a, b in tree.children.tolist():
        sizes.append(sizes[a] + sizes[b])
    return np.array(sizes[tree.n_rows :], np.int64)


def _members(tree: Tree, first: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of the group that each merge makes, ascending, without the first merges."""
    top = [*range(tree.n_rows + first)]
    for merge in reversed(range(first)):
        for child in tree.children[merge].tolist():
            top[child] = top[tree.n_rows + merge]
    nodes = np.array(top[: tree.n_rows])
    order = np.argsort(nodes, kind="stable")
    starts = np.flatnonzero(np.diff(nodes[order], prepend=-1))
    made = {int(nodes[rows[0]]): rows for rows in np.split(order, starts[1:])}
    for node, pair in enumerate(tree.children[first:].tolist(), tree.n_rows + first):
        made[node] = np.sort(np.concatenate([made.pop(child) for child in pair]))
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

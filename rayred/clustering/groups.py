"""Redundant groups of labelled embeddings: the way from embeddings to the rows that are kept.

Legend: N rows, D embedding dimensions, C classes, n rows of a task.

>>> import numpy as np
>>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.5, 0.5], [0.5, 0.4]])
>>> groups = redundant_groups(x, labels=[0, 0, 0, 1, 1], fractions=[0.6])
>>> groups.kept[0.6], groups.trees.groups(0.6)
(array([0, 1, 3]), array([0, 1, 0, 2, 2]))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rayred.clustering.checks import (
    ZeroRows,
    check_fractions,
    check_rows,
    with_directions,
)
from rayred.clustering.labels import rows_of_classes
from rayred.clustering.large_class import PairFinder
from rayred.clustering.maps import TASKS_A_WORKER, Map, Report, reports_of
from rayred.clustering.trees import ClassTrees, kept_images
from rayred.config import Linkage
from rayred.linkage import EngineSettings, Tree, linkage_trees, representatives
from rayred.linkage.closest import representatives_on_gpu
from rayred.linkage.rows import as_matrix
from rayred.progress import progress_bar

SPREAD_ROWS = 50_000
"""Rows from which on one class is spread over all workers, strip by strip."""
TASK_BYTES = 2**28
"""Size of the embeddings of a task, unless a single class has more."""


@dataclass(frozen=True)
class RedundantGroups:
    """The redundant groups of a data set, and the row kept of each."""

    trees: ClassTrees
    """One tree a class; its `groups` are the group of every row at a fraction."""
    kept: Mapping[float, NDArray[np.int64]]
    """For each fraction (n,) int64 ascending: the row of each group closest to its centre."""


def redundant_groups(
    x: NDArray[Any],
    labels: ArrayLike,
    fractions: Sequence[float],
    linkage: Linkage | None = None,
    *,
    map: Map[Any, Any] = map,
    workers: int = 1,
    device: str | None = None,
    trees: ClassTrees | None = None,
    zero_rows: ZeroRows = "refuse",
) -> RedundantGroups:
    """Cluster every class under cosine distance, and keep one row of each cluster.

    The result does not depend on `map`, `workers` or, for complete linkage, `device`.

    Parameters
    ----------
    x
        (N, D) embeddings: real numbers of any dtype, for example a memory map; no row all zero.
    labels
        (N,) classes: integers, booleans or text, none missing.
    fractions
        Shares of every class to keep, each in (0, 1]; at least one, unless there are trees.
    linkage
        Method and back end; complete linkage by default.
    map
        Runs the work on single classes, and on parts of large ones.
    workers
        How many calls `map` makes at a time.
    device
        Torch device of the calls; by default a GPU if there is one.
    trees
        Trees that an earlier call made of the same rows, labels and linkage.
    zero_rows
        What is done with rows that are all zero, and so have no direction: ``refuse`` them, or keep
        them ``apart``, as if they were equal to each other and orthogonal to all other rows.

    Raises
    ------
    ValueError
        A row, a label or a fraction cannot be used, or the trees are of other rows or do not reach
        down to a fraction. The message names the row of `x`.

    Source: arXiv 1901.11409, section 3.
    """
    x, linkage = as_matrix(x), linkage or Linkage()
    check_fractions(fractions)
    if trees is None:
        if not len(fractions):
            raise ValueError("no fractions; expected at least one, or trees of an earlier call")
        trees = grow_trees(
            x,
            labels,
            min(fractions),
            linkage,
            map=map,
            workers=workers,
            device=device,
            zero_rows=zero_rows,
        )
    else:
        _check_trees(trees, x, labels)
        if len(fractions):
            check_rows(x, labels, zero_rows=zero_rows)
    counts = [[kept_images(len(rows), f) for rows in trees.members] for f in fractions]
    chosen = kept_rows(x, trees, counts, linkage, map=map, workers=workers)
    return RedundantGroups(trees, dict(zip(fractions, chosen, strict=True)))


def kept_rows(
    x: NDArray[Any],
    trees: ClassTrees,
    counts: Sequence[Sequence[int]],
    linkage: Linkage,
    *,
    map: Map[Any, Any] = map,
    workers: int = 1,
) -> list[NDArray[np.int64]]:
    """Return the row of each group that is closest to its centre.

    The second half of `redundant_groups`, with the same parameters.

    Parameters
    ----------
    counts
        One or more cuts, each the number of groups of every class.

    Returns
    -------
    kept
        The rows of each cut, (n,) int64 ascending.
    """
    classes = [
        _Class(label, rows, tree=tree, counts=[cut[label] for cut in counts])
        for label, (rows, tree) in enumerate(zip(trees.members, trees.trees, strict=True))
    ]
    find = partial(_representatives, linkage)
    asked = classes if len(counts) else []
    chosen = _each_class("images", find, x, asked, linkage, map, workers)
    return [
        np.sort(np.concatenate([chosen[label][place] for label in range(len(classes))]))
        for place in range(len(counts))
    ]


def _check_trees(trees: ClassTrees, x: NDArray[Any], labels: ArrayLike) -> None:
    """Raise ValueError unless the trees are of these rows in these classes."""
    if sum(len(rows) for rows in trees.members) != len(x):
        raise ValueError(f"the trees are not of these rows, of which there are {len(x)}")
    members = rows_of_classes(labels, len(x))
    if len(members) != len(trees.members) or not all(map(np.array_equal, members, trees.members)):
        raise ValueError("the trees are of rows with other labels")


def grow_trees(
    x: NDArray[Any],
    labels: ArrayLike,
    fraction: float,
    linkage: Linkage,
    *,
    map: Map[Any, Any] = map,
    workers: int = 1,
    device: str | None = None,
    spread_rows: int = SPREAD_ROWS,
    zero_rows: ZeroRows = "refuse",
    max_distance: float = math.inf,
) -> ClassTrees:
    """Cluster each class down to the clusters of the smallest fraction wanted.

    The first half of `redundant_groups`, with the same parameters; `spread_rows` is the number of
    rows from which on one class is spread over several workers, and `max_distance` the height at
    which a tree ends if it has not ended before.

    Raises
    ------
    ValueError
        A row, a label or the fraction cannot be used; the message names the row of `x`.
    """
    check_fractions([fraction])
    x = as_matrix(x)
    members = rows_of_classes(labels, len(x))
    check_rows(x, labels, zero_rows=zero_rows)
    classes = [
        _Class(label, rows, counts=[kept_images(len(rows), fraction)])
        for label, rows in enumerate(members)
    ]
    spreads = workers > 1 and linkage.method == "complete" and linkage.backend != "scipy"
    large = [one for one in classes if spreads and len(one.rows) >= spread_rows]
    small = [one for one in classes if one not in large]
    grow = partial(_trees, linkage, device, max_distance)
    trees: dict[int, Tree] = _each_class("trees", grow, x, small, linkage, map, workers)
    if large:
        with progress_bar("trees of large classes", "class", len(large)) as bar:
            settings = EngineSettings(
                device="cpu",
                precision=linkage.precision,
                find=PairFinder(map, workers, device),
                find_from=spread_rows,
                progress=partial(_tell, bar.set_postfix_str),
            )
            for one in large:
                rows = with_directions(x[one.rows])
                everything = [np.arange(len(rows))]
                grown = linkage_trees(
                    rows, everything, one.counts, settings=settings, max_distance=max_distance
                )
                trees[one.label] = next(grown)
                bar.update()
    return ClassTrees(tuple(members), tuple(trees[label] for label in range(len(members))))


@dataclass(frozen=True, eq=False)
class _Class:
    """One class, as a part of a task."""

    label: int
    rows: NDArray[np.int64]
    counts: Sequence[int]
    """Numbers of clusters wanted."""
    tree: Tree | None = None


_Task = tuple[NDArray[Any], list[_Class]]
"""(n, D) embeddings of some classes, one class after another, and the classes."""


def _each_class(
    title: str,
    function: Callable[[Report | None, _Task], dict[int, Any]],
    x: NDArray[Any],
    classes: Sequence[_Class],
    linkage: Linkage,
    map: Map[_Task, dict[int, Any]],
    workers: int,
) -> dict[int, Any]:
    """Return what a function finds of every class, by label, under a progress bar.

    The largest classes come first, so that none of them is still at work when all else is done.
    """
    classes = sorted(classes, key=lambda one: len(one.rows), reverse=True)
    tasks = len(classes)
    if linkage.backend != "cuml":  # which takes one class at a time to its GPU
        tasks = min(tasks, max(TASKS_A_WORKER * workers, x.nbytes // TASK_BYTES))
    parts = (list(classes[first::tasks]) for first in range(tasks))
    # Embeddings are read when their task starts, so that few tasks are in memory.
    arguments = ((x[np.concatenate([one.rows for one in part])], part) for part in parts)
    found: dict[int, Any] = {}
    with (
        progress_bar(title, "class", len(classes)) as bar,
        reports_of(map, bar.set_postfix_str) as report,
    ):
        for values in map(partial(function, report), arguments):
            found |= values
            bar.update(len(values))
    return found


def _tell(report: Report, stage: str, share: float) -> None:
    report(f"{stage} {share:.0%}")


def _trees(
    linkage: Linkage,
    device: str | None,
    max_distance: float,
    report: Report | None,
    task: _Task,
) -> dict[int, Tree]:
    x, classes = task
    progress = None if report is None else partial(_tell, report)
    settings = EngineSettings(device=device, precision=linkage.precision, progress=progress)
    grow = partial(
        linkage_trees,
        method=linkage.method,
        backend=linkage.backend,
        settings=settings,
        max_distance=max_distance,
    )
    places = dict(zip(classes, _places(classes), strict=True))
    has_direction: NDArray[np.bool_] = np.any(x, axis=1)
    plain = [one for one in classes if has_direction[places[one]].all()]
    counts = [one.counts[0] for one in plain]
    together = grow(x, [places[one] for one in plain], counts)
    trees = {one.label: tree for one, tree in zip(plain, together, strict=True)}
    # Each by itself: what the other classes of a task are must not change a bit of its distances.
    for one in classes:
        if one.label not in trees:
            rows = with_directions(x[places[one]])
            trees[one.label] = next(grow(rows, [np.arange(len(rows))], one.counts[:1]))
    if report is not None:
        report("")
    return trees


def _representatives(
    linkage: Linkage, _: Report | None, task: _Task
) -> dict[int, list[NDArray[np.int64]]]:
    """Return the rows kept of each class, for each number of clusters."""
    x, classes = task
    find = representatives_on_gpu if linkage.backend == "cuml" else representatives
    kept: dict[int, list[NDArray[np.int64]]] = {}
    for one, places in zip(classes, _places(classes), strict=True):
        assert one.tree is not None
        rows = with_directions(x[places])
        kept[one.label] = [one.rows[find(rows, one.tree.labels(n))] for n in one.counts]
    return kept


def _places(classes: Sequence[_Class]) -> Iterator[NDArray[np.int64]]:
    """Yield where the embeddings of each class lie within a task."""
    first = 0
    for one in classes:
        yield np.arange(first, first + len(one.rows))
        first += len(one.rows)

"""The training images that selectors choose from.

Legend: N images, n of them of one class, D embedding dimensions, C classes.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.labels import rows_of_classes
from rayred.clustering.maps import Map
from rayred.clustering.trees import kept_images

if TYPE_CHECKING:
    from rayred.clustering.groups import RedundantGroups

Choose = Callable[..., NDArray[np.int64]]
"""Takes the (n, D) embeddings of one class, the number to keep, which is below n, a generator of
its own, and (n,) scores if they are asked for; returns which to keep, places 0 to n − 1 in any
order, each once. It is sent to other processes."""


@dataclass(frozen=True)
class Candidates:
    """The N training images that a selector chooses from."""

    labels: NDArray[np.int64]
    """(N,) indices of the classes."""
    embeddings: NDArray[Any]
    """(N, D) embeddings: real numbers, all of them finite."""
    groups: RedundantGroups | None = None
    """Redundant groups at every fraction below 1 that is asked for."""
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """(N,) numbers of each image, gathered while the reference was trained, by name."""
    map: Map[Any, Any] = builtins.map
    """Runs the work on single classes, here or by Ray."""
    given: NDArray[np.int64] | None = None
    """(n,) int64 ascending, the images of a subset chosen before, if others are to be like it."""

    @cached_property
    def members(self) -> list[NDArray[np.int64]]:
        """The images of each class, (n,) int64 ascending."""
        return rows_of_classes(self.labels, len(self.labels))

    def counts(self, fraction: float) -> list[int]:
        """Return how many images of each class a subset of this fraction keeps.

        They are as many as the given subset has, if there is one.
        """
        if self.given is not None:
            return [int(np.isin(rows, self.given).sum()) for rows in self.members]
        return [kept_images(len(rows), fraction) for rows in self.members]

    def choose(
        self,
        choose: Choose,
        fraction: float,
        rng: np.random.Generator,
        scores: str | None = None,
    ) -> NDArray[np.int64]:
        """Return the images that a function chooses of every class, (m,) int64 ascending.

        Parameters
        ----------
        choose
            The function; it is not called for a class of which all images are kept.
        fraction
            Share of every class to keep, rounded; at least one image.
        rng
            Gives each class a generator, so that the result depends neither on `map` nor on what
            other classes hold.
        scores
            Name of the scores that the function takes, if any.
        """
        values = None if scores is None else self.scores[scores]
        tasks = (
            (
                label,
                self.embeddings[rows],
                count,
                generator,
                *([] if values is None else [values[rows]]),
            )
            for label, (rows, count, generator) in enumerate(
                zip(self.members, self.counts(fraction), rng.spawn(len(self.members)), strict=True)
            )
        )
        found = dict(self.map(partial(_choose, choose), tasks))
        return np.sort(np.concatenate([rows[found[c]] for c, rows in enumerate(self.members)]))

    def first(self, order: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
        """Return the first images of an order over all classes, (m,) int64 ascending.

        They are as many as `counts` has in all. The first image of each class is kept in any case,
        in place of the last of the others: a network cannot learn a class without images.

        Parameters
        ----------
        order
            (N,) all images, the best first.
        fraction
            Share of the images to keep.
        """
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        best = [rows[place[rows].argmin()] for rows in self.members]
        place[best] = -1
        return np.sort(np.argsort(place, kind="stable")[: sum(self.counts(fraction))])


def _choose(choose: Choose, task: tuple[Any, ...]) -> tuple[int, NDArray[np.int64]]:
    label, x, count, *others = task
    everything = np.arange(len(x), dtype=np.int64)
    return label, everything if count == len(x) else choose(x, count, *others)

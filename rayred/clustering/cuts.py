"""Where the trees of all classes are cut: how many images of each class are kept.

Legend: C classes, N_c images of class c, N images in all, M merges.

>>> Cut(keep=0.9).sentence()
'a share of 0.9 of every class is kept'
>>> Cut(max_distance=0.05, floor=10).sentence()
'no two images of a group are farther apart than 0.05, and 10 images of a class are kept at least'
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees, kept_images

LARGEST_DISTANCE = 2.0
"""The cosine distance of opposite embeddings."""


class Grow(Protocol):
    """Clusters every class down to a share of its images, or up to a distance."""

    def __call__(self, fraction: float, max_distance: float) -> ClassTrees:
        """Return the trees, which end at whichever comes first."""


@dataclass(frozen=True)
class Cut:
    """Where the trees of all classes are cut.

    Raises
    ------
    ValueError
        Not exactly one of a share and a distance is given, or a value is out of range.
    """

    keep: float | None = None
    """Share of the images to keep, in (0, 1]."""
    max_distance: float | None = None
    """Largest cosine distance of two images of a group, 0 to 2: one height for all classes."""
    common: bool = False
    """Whether `keep` is the share of all images, by one height for all classes, and not the share
    of every class. So classes with more redundant images give more."""
    floor: int = 1
    """Fewest images of a class to keep, if it has so many."""

    def __post_init__(self) -> None:
        if (self.keep is None) == (self.max_distance is None):
            raise ValueError("give either the share to keep or the largest distance")
        if self.keep is not None and not 0 < self.keep <= 1:
            raise ValueError(f"keep is {self.keep!r}; expected a number in (0, 1]")
        if self.max_distance is not None and not 0 <= self.max_distance <= LARGEST_DISTANCE:
            raise ValueError(
                f"max_distance is {self.max_distance!r}; expected a cosine distance, 0 to 2"
            )
        if self.common and self.keep is None:
            raise ValueError("a common share goes with keep: a largest distance is common already")
        if type(self.floor) is not int or self.floor < 1:
            raise ValueError(f"floor is {self.floor!r}; expected a whole number of 1 or more")

    def values(self) -> dict[str, float | bool | None]:
        """Return what decides the cut."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the cut in words."""
        if self.max_distance is not None:
            what = f"no two images of a group are farther apart than {self.max_distance:g}"
        elif self.common:
            what = (
                f"a share of {self.keep:g} of all images is kept, by one distance for all classes"
            )
        else:
            what = f"a share of {self.keep:g} of every class is kept"
        if self.floor > 1:
            what += f", and {self.floor} images of a class are kept at least"
        return what

    def trees(self, grow: Grow, sizes: Sequence[int]) -> ClassTrees:
        """Return trees that reach down to the cut.

        Parameters
        ----------
        grow
            Clusters the classes.
        sizes
            N_c of each class.
        """
        whole = 1 / sum(sizes)  # of any class, that is less than two images
        if self.max_distance is not None:
            return grow(whole, self.max_distance)
        assert self.keep is not None
        if not self.common:
            return grow(self.keep, math.inf)
        # Each class may round half an image away from the merges that are wanted in all.
        fraction = self.keep - (len(sizes) + 1) / (2 * sum(sizes))
        trees = grow(max(fraction, whole), math.inf)
        for distance in _distances_to_try(trees):
            trees = grow(whole, distance)
            if self._available(trees) >= self._merges_wanted(trees):
                break
        return trees

    def reach(self, trees: ClassTrees) -> float:
        """Return the height up to which all merges are known of the trees of this cut."""
        if self.max_distance is not None:
            return self.max_distance
        if self.common:
            # They all end at one distance, which is that of the highest merge or more.
            return trees.height_at([tree.n_clusters for tree in trees.trees])
        return trees.reach()

    def counts(self, trees: ClassTrees) -> list[int]:
        """Return how many images of each class are kept.

        Of merges at the same height, those of the classes with lower labels are made first.
        """
        sizes = [len(rows) for rows in trees.members]
        least = [min(self.floor, size) for size in sizes]
        if self.max_distance is not None:
            cut = [tree.up_to(self.max_distance).n_clusters for tree in trees.trees]
        elif self.common:
            cut = self._counts_at_common_height(trees)
        else:
            assert self.keep is not None
            cut = [kept_images(size, self.keep) for size in sizes]
        return [max(pair) for pair in zip(cut, least, strict=True)]

    def _counts_at_common_height(self, trees: ClassTrees) -> list[int]:
        heights = list(self._heights(trees))
        classes = np.repeat(np.arange(len(heights)), [len(one) for one in heights])
        order = np.argsort(np.concatenate(heights), kind="stable")[: self._merges_wanted(trees)]
        merges = np.bincount(classes[order], minlength=len(heights))
        return [len(rows) - int(done) for rows, done in zip(trees.members, merges, strict=True)]

    def _heights(self, trees: ClassTrees) -> Iterator[NDArray[np.float64]]:
        """Yield the heights of the merges of each class that its floor allows."""
        for rows, tree in zip(trees.members, trees.trees, strict=True):
            yield tree.heights[: len(rows) - min(self.floor, len(rows))]

    def _available(self, trees: ClassTrees) -> int:
        return sum(map(len, self._heights(trees)))

    def _merges_wanted(self, trees: ClassTrees) -> int:
        assert self.keep is not None
        images = sum(len(rows) for rows in trees.members)
        return images - kept_images(images, self.keep)


def _distances_to_try(trees: ClassTrees) -> Iterator[float]:
    """Yield ascending heights up to which all merges may be as many as each class's trees have.

    They are at the height of the highest of those trees, and in most data at one between; higher
    only where floors hold merges back.
    """
    ends = sorted(
        (tree.heights[-1], len(tree.heights)) for tree in trees.trees if len(tree.heights)
    )
    highest = 0.0
    if ends:
        merges = np.cumsum([count for _, count in ends])
        yield float(ends[int(np.searchsorted(merges, merges[-1] / 2))][0])
        yield (highest := float(ends[-1][0]))
    while 0 < highest < LARGEST_DISTANCE:
        yield (highest := 2 * highest)
    yield math.inf

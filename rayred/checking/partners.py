"""Of each image, the closest other image of its class, of another class, and of the other split.

Pairs are offered in any order and number, and what is kept takes memory by images, not by pairs.

Legend: N images of all splits, E pairs.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


class Relation(IntEnum):
    """What two images are to each other."""

    SAME_CLASS = 0
    """Of the same split and class."""
    OTHER_CLASS = 1
    """Of the same split, and of different classes."""
    OTHER_SPLIT = 2
    """One of the training split, one of the test split."""


Pair = tuple[NDArray[np.int64], NDArray[np.int64]]
"""(E,) images i and (E,) images j of some pairs."""


class Partners:
    """The closest other image of each image so far, by relation."""

    def __init__(self, split: NDArray[np.int64], label: NDArray[np.int64]) -> None:
        """Take (N,) the split and (N,) the class of each image."""
        self._split, self._label = split, label
        self.distance = np.full((len(Relation), len(split)), np.inf)
        """(3, N) distance of each image to its partner; infinite where it has none."""
        self.partner = np.full((len(Relation), len(split)), -1)
        """(3, N) the partner; −1 where there is none. Of equally close ones, the first."""

    def offer(
        self, i: NDArray[np.int64], j: NDArray[np.int64], distance: NDArray[np.float64]
    ) -> None:
        """Take pairs, (E,) each, i and j being different, for both images of each pair."""
        one, other = np.concatenate([i, j]), np.concatenate([j, i])
        both = np.concatenate([distance, distance])
        relation = np.where(
            self._split[one] != self._split[other],
            Relation.OTHER_SPLIT,
            np.where(
                self._label[one] != self._label[other], Relation.OTHER_CLASS, Relation.SAME_CLASS
            ),
        )
        order = np.lexsort([other, both, one, relation])
        changes = np.diff(relation[order], prepend=-1) | np.diff(one[order], prepend=-1)
        first = order[changes != 0]
        place = relation[first], one[first]
        closer = (both[first] < self.distance[place]) | (
            (both[first] == self.distance[place]) & (other[first] < self.partner[place])
        )
        place = place[0][closer], place[1][closer]
        self.distance[place], self.partner[place] = both[first][closer], other[first][closer]

    def inherit(self, first: NDArray[np.int64]) -> None:
        """Give each image the partners of an image equal to it, split and class included: (N,)."""
        for relation in (Relation.OTHER_CLASS, Relation.OTHER_SPLIT):
            self.distance[relation] = self.distance[relation, first]
            self.partner[relation] = self.partner[relation, first]


class Groups:
    """Images connected by pairs, directly or through others."""

    def __init__(self, n: int) -> None:
        """Take the number of images."""
        self.group = np.arange(n)
        """(N,) a number for each image, equal within a group."""

    def connect(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> None:
        """Take pairs, (E,) each."""
        n = len(self.group)
        edges = coo_array((np.ones(len(i), np.int8), (self.group[i], self.group[j])), shape=(n, n))
        _, component = connected_components(edges, directed=False)
        self.group = component[self.group]


def equal_pairs(content: NDArray[np.int64], kind: NDArray[np.int64]) -> Pair:
    """Return, for each image, its pairs with the first image of each kind of the same content.

    So equal images are connected by few pairs, and each has a partner of every kind there is.

    Parameters
    ----------
    content
        (N,) equal numbers for equal images.
    kind
        (N,) a number for each split and class.
    """
    order, opens = _sorted(content, kind)
    firsts = order[opens]
    # `firsts` are in order of content: those of one content are neighbours.
    begin = np.searchsorted(content[firsts], content, side="left")
    count = np.searchsorted(content[firsts], content, side="right") - begin
    i = np.repeat(np.arange(len(content)), count)
    place = np.arange(len(i)) - np.repeat(np.cumsum(count) - count, count)
    j = firsts[np.repeat(begin, count) + place]
    return i[i != j], j[i != j]


def firsts_of(content: NDArray[np.int64], kind: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each image, the first image of the same content and kind, (N,)."""
    order, opens = _sorted(content, kind)
    first = np.empty(len(content), np.int64)
    first[order] = order[opens][np.cumsum(opens) - 1]
    return first


def _sorted(
    content: NDArray[np.int64], kind: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the images by content and kind, and which of them are the first of both."""
    order = np.lexsort([np.arange(len(content)), kind, content])
    opens = np.diff(content[order], prepend=-1) != 0
    opens |= np.diff(kind[order], prepend=-1) != 0
    return order, opens

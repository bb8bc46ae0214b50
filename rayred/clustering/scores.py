"""How redundant each image is: the height at which it stops being alone in its group.

Legend: N images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees


@dataclass(frozen=True)
class Scores:
    """The redundancy of every image."""

    height: NDArray[np.float64]
    """(N,) height of the first merge of each image: for complete linkage, the cosine distance to
    the farthest image of the group that it joins. Infinite where the trees end before."""

    @property
    def rank(self) -> NDArray[np.int64]:
        """(N,) from 1, the image that is redundant first; of equal heights, the lower row is."""
        rank = np.empty(len(self.height), np.int64)
        rank[np.argsort(self.height, kind="stable")] = np.arange(1, len(rank) + 1)
        return rank

    @classmethod
    def of(cls, trees: ClassTrees) -> Scores:
        """Return the redundancy of every image in the trees of all classes.

        >>> from rayred.linkage import Tree
        >>> tree = Tree(3, np.array([[0, 2]]), np.array([0.25]))
        >>> scores = Scores.of(ClassTrees((np.arange(3),), (tree,)))
        >>> scores.height, scores.rank
        (array([0.25,  inf, 0.25]), array([1, 3, 2]))
        """
        height = np.full(sum(map(len, trees.members)), np.inf)
        for rows, tree in zip(trees.members, trees.trees, strict=True):
            # Backwards, so that the first merge of a row is the last to be written.
            nodes = tree.children[::-1].ravel()
            levels = np.repeat(tree.heights[::-1], 2)
            single = nodes < tree.n_rows
            height[rows[nodes[single]]] = levels[single]
        return cls(height)


@dataclass(frozen=True)
class ScoredImages:
    """The redundancy of the images of a data set, with what they are."""

    scores: Scores
    rows: NDArray[np.int64]
    """(N,) row of each image in the user's data."""
    names: Sequence[str]
    classes: Sequence[str]
    """The class of each image."""


def save_scores(path: Path, images: ScoredImages) -> None:
    """Write a Parquet file with one row an image; height and rank are null where none is known."""
    height = images.scores.height
    unknown = np.isinf(height)
    table = {
        "row": images.rows,
        "name": list(images.names),
        "class": list(images.classes),
        "height": pa.array(height, mask=unknown),
        "rank": pa.array(images.scores.rank, mask=unknown),
    }
    pq.write_table(pa.table(table), path)


def load_scores(path: Path) -> Scores:
    """Read what `save_scores` wrote."""
    height = pq.read_table(path, columns=["height"])["height"]
    return Scores(height.fill_null(np.inf).to_numpy())

"""What is known of rows once the embeddings are gone: enough to look at their groups at any cut.

Legend: N rows, M merges of all trees, P rows shown, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees, load_trees, save_trees


@dataclass(frozen=True)
class Exploration:
    """What is kept of some rows at any cut, and what lies near them."""

    trees: ClassTrees
    """Trees of all N rows, up to the height to which groups are shown."""
    reach: float
    """Height up to which all merges are known."""
    whole: bool
    """Whether the trees are shown as they are, to their ends."""
    rows: NDArray[np.int64]
    """(P,) int64 ascending: all rows or, where they are too many, those that are merged."""
    kept: NDArray[np.int64]
    """(M,) the row kept of the group that each merge makes, class after class."""
    neighbours: NDArray[np.int64]
    """(P, k) the nearest of the other P rows of the class, nearest first; −1 where there are fewer,
    and where a row is merged with none."""
    distances: NDArray[np.float64]
    """(P, k) cosine distances to them."""
    places: NDArray[np.float32]
    """(P, 2) a map of each class: the first two principal components of its rows of length 1."""


def save_exploration(folder: Path, found: Exploration) -> None:
    """Write what `load_exploration` reads."""
    save_trees(folder / "trees.npz", found.trees)
    np.savez(
        folder / "exploration.npz",
        reach=found.reach,
        whole=found.whole,
        rows=found.rows,
        kept=found.kept,
        neighbours=found.neighbours,
        distances=found.distances,
        places=found.places,
    )


def load_exploration(folder: Path) -> Exploration:
    """Read what `save_exploration` wrote."""
    with np.load(folder / "exploration.npz") as file:
        values = dict(file)
    reach, whole = float(values.pop("reach")), bool(values.pop("whole"))
    return Exploration(load_trees(folder / "trees.npz"), reach, whole, **values)

"""The paper's baseline: a uniformly random subset of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import kept_images
from rayred.selection.candidates import Candidates


def select_random(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return a random subset of every class, of its fraction rounded: (n,) int64 ascending."""
    return np.sort(
        np.concatenate(
            [
                rng.choice(rows, kept_images(len(rows), fraction), replace=False)
                for rows in candidates.groups.trees.members
            ]
        )
    )

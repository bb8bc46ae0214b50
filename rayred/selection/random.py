"""The paper's baseline: a uniformly random subset of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates


def select_random(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return a random subset of every class, of its fraction rounded: (n,) int64 ascending."""
    return np.sort(
        np.concatenate(
            [
                rng.choice(rows, count, replace=False)
                for rows, count in zip(candidates.members, candidates.counts(fraction), strict=True)
            ]
        )
    )

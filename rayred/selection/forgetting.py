"""Forgetting: the images that the network most often unlearned in training, of all classes.

Source: Toneva et al. 2019, arXiv 1812.05159, section 3 (algorithm 1) and 5. Images that were never
learned count as forgotten infinitely often. Where images forgotten equally often, as the
unforgettable ones, are removed in part, they are drawn at random.

Legend: N images of all classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates


def select_forgetting(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the images with the most events of forgetting, (m,) int64 ascending; ties at random.

    Classes keep different shares, but no class loses all images, see `Candidates.first`.
    """
    events = candidates.scores["forgetting"]
    mixed = rng.permutation(len(events))
    return candidates.first(mixed[np.argsort(-events[mixed], kind="stable")], fraction)

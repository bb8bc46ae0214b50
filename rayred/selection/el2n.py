"""EL2N: the hardest images of all classes, by the error of their probabilities early in training.

Source: Paul et al. 2021, arXiv 2107.07075, section 2 (GraNd and EL2N scores) and 3.

Legend: N images of all classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates


def select_el2n(
    candidates: Candidates,
    fraction: float,
    rng: np.random.Generator,  # noqa: ARG001 - nothing here is random
) -> NDArray[np.int64]:
    """Return the images with the highest scores, (m,) int64 ascending; ties by the lowest row.

    Classes keep different shares, but no class loses all images, see `Candidates.first`.
    """
    return candidates.first(np.argsort(-candidates.scores["el2n"], kind="stable"), fraction)

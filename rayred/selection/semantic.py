"""The paper's selector: the image closest to the centre of each redundant group.

Source: arXiv 1901.11409, section 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates


def select_semantic(
    candidates: Candidates,
    fraction: float,
    rng: np.random.Generator,  # noqa: ARG001 - nothing here is random
) -> NDArray[np.int64]:
    """Return one image of each cluster of each class, (n,) int64 ascending."""
    assert candidates.groups is not None
    return candidates.groups.kept[fraction]

"""The training data that selectors get."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rayred.clustering.groups import RedundantGroups


@dataclass(frozen=True)
class Candidates:
    """The N training images that a selector chooses from; D embedding dimensions."""

    labels: NDArray[np.int64]
    """(N,) indices of the classes."""
    embeddings: NDArray[Any]
    """(N, D) embeddings: real numbers."""
    groups: RedundantGroups
    """Redundant groups at every fraction of the sweep below 1."""

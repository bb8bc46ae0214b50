"""The training images as selectors see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rayred.clustering.groups import RedundantGroups


@dataclass(frozen=True)
class Candidates:
    """The training images that a selector chooses from."""

    labels: NDArray[np.int64]
    """(N,) classes."""
    embeddings: NDArray[np.float32]
    """(N, D) pooled embeddings."""
    groups: RedundantGroups
    """Redundant groups at every fraction wanted below 1."""

"""What selectors choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees


@dataclass(frozen=True)
class Candidates:
    """The training images as a selector sees them."""

    labels: NDArray[np.int64]
    """(N,) classes."""
    embeddings: NDArray[np.float32]
    """(N, D) pooled embeddings."""
    trees: ClassTrees
    """One tree a class, deep enough for the smallest fraction wanted."""
    representatives: Mapping[float, NDArray[np.int64]]
    """For each fraction (n,) one image of each cluster of each class, ascending."""

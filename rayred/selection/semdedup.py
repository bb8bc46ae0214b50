"""SemDeDup: within clusters, the images that are least similar to any before them.

Source: Abbas et al. 2023, arXiv 2303.09540, section 3, and the authors' code: an image is compared
with all before it, also with those that are dropped themselves. The paper drops what is more
similar than 1 − ε; here the number of images to keep of a class decides ε.

Legend: n images of one class, m of one cluster, D embedding dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates
from rayred.selection.clusters import k_means
from rayred.selection.space import directions, ranked

CLUSTER_SIZE = 1000
"""Images of a cluster on average: a class of n has n / `CLUSTER_SIZE` clusters, rounded up."""
BLOCK_BYTES = 2**26
"""Most bytes of similarities held at a time."""


def select_semdedup(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return images of every class without its near-duplicates, (m,) int64 ascending."""
    return candidates.choose(_choose, fraction, rng)


def _choose(x: NDArray[Any], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    unit = directions(x)
    clusters = k_means(unit, -(-len(x) // CLUSTER_SIZE), rng)
    return ranked(-similarities(unit, clusters))[:count]


def similarities(x: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how similar each row is to the most similar one before it in its cluster.

    The rows of a cluster are ordered from the least to the most similar to its centre, as in the
    paper, which so keeps the hard ones; equal ones by ascending row.

    Parameters
    ----------
    x
        (n, D) rows of length 1.
    clusters
        (n,) int64, the cluster of each.

    Returns
    -------
    similarities
        (n,) cosines; −∞ for the first of each cluster.
    """
    found = np.empty(len(x))
    for cluster in np.unique(clusters):
        rows = np.flatnonzero(clusters == cluster)
        centre = x[rows].mean(axis=0)
        length = np.linalg.norm(centre)
        ordered = rows[ranked(-(x[rows] @ centre) / (length if length > 0 else 1.0))]
        found[ordered] = _largest_before(x[ordered])
    return found


def _largest_before(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest cosine of each of (m, D) rows with those before it, (m,)."""
    found = np.empty(len(x))
    size = max(1, BLOCK_BYTES // (8 * len(x)))
    for first in range(0, len(x), size):
        block = x[first : first + size]
        cosines = block @ x[: first + len(block)].T
        cosines[np.triu_indices(len(block), k=first, m=cosines.shape[1])] = -np.inf
        found[first : first + size] = cosines.max(axis=1)
    return found

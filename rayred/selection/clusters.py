"""Clusters of the images of one class by k-means, which some selectors begin with.

Legend: n images of one class, D embedding dimensions.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

ITERATIONS = 100
"""Most rounds of k-means."""


def k_means(x: NDArray[np.float64], k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the cluster of every row, (n,) int64; some of the k clusters may be empty.

    Parameters
    ----------
    x
        (n, D) rows of length 1, so that the closest centre is nearly the one of largest cosine.
    k
        Number of clusters, at most n.
    rng
        Chooses the first centres (k-means++).
    """
    if k == 1:
        return np.zeros(len(x), dtype=np.int64)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    seed = int(rng.integers(2**32))
    means = KMeans(k, n_init=1, max_iter=ITERATIONS, random_state=seed)
    # With several threads the order of additions, and so the last bits of centres, would vary.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # there are fewer than k distinct rows
        return np.asarray(means.fit(x).labels_, dtype=np.int64)

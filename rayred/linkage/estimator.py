"""Complete linkage as a scikit-learn estimator."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import validate_data

from rayred.linkage.engine import complete_trees
from rayred.linkage.rows import check_n_clusters


class CompleteLinkage(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Agglomerative clustering by complete linkage under cosine distance.

    Parameters
    ----------
    n_clusters : int, default=2
        Number of clusters; none if `distance_threshold` is given.
    distance_threshold : float, default=None
        Largest cosine distance between two members of a cluster.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), int64
        Cluster of each row, numbered in order of each cluster's lowest row.
    children_ : ndarray of shape (n_merges, 2)
        The clusters of each merge, as in scikit-learn's `AgglomerativeClustering`.
    distances_ : ndarray of shape (n_merges,)
        Height of each merge.
    n_clusters_ : int
        Number of clusters found.
    """

    def __init__(
        self, n_clusters: int | None = 2, *, distance_threshold: float | None = None
    ) -> None:
        self.n_clusters = n_clusters
        self.distance_threshold = distance_threshold

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Cluster the rows of X, of shape (n_samples, n_features)."""
        rows = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        if (self.n_clusters is None) == (self.distance_threshold is None):
            raise ValueError("give exactly one of n_clusters and distance_threshold")
        if self.n_clusters is not None:
            check_n_clusters(self.n_clusters, len(rows))
        tree = next(complete_trees(rows, [np.arange(len(rows))], [self.n_clusters or 1]))
        if self.distance_threshold is None:
            self.n_clusters_ = tree.n_clusters
        else:
            self.n_clusters_ = len(rows) - int((tree.heights <= self.distance_threshold).sum())
        self.labels_ = tree.labels(self.n_clusters_)
        self.children_ = tree.children
        self.distances_ = tree.heights
        return self

"""Complete linkage as a scikit-learn estimator."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClusterMixin, _fit_context
from sklearn.utils._param_validation import Interval, InvalidParameterError
from sklearn.utils.validation import validate_data

from rayred.linkage.engine import complete_trees

_ONLY_CHOICES = (
    ("metric", "cosine", "samples are scaled to length 1 before they are compared"),
    ("connectivity", None, "any two samples may be merged, and no graph can forbid it"),
    ("linkage", "complete", "heights and thresholds are the largest distances within clusters"),
)
"""Parameters with a single choice: name, choice, and why there is no other."""


class CompleteLinkage(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Agglomerative clustering by complete linkage under cosine distance.

    Parameters
    ----------
    n_clusters : int or None, default=2
        Number of clusters to find. It must be `None` if `distance_threshold` is given.
    metric : {"cosine"}, default="cosine"
        The only metric. This parameter and the next two are those of `AgglomerativeClustering`, so
        that its calls can be kept and any other value is refused with the reason.
    connectivity : None, default=None
        No constraint: any two samples may be in one cluster.
    linkage : {"complete"}, default="complete"
        The only linkage.
    distance_threshold : float or None, default=None
        Largest cosine distance between two members of a cluster: clusters are merged up to this
        height, and those at exactly this height too, as by SciPy's `fcluster`; scikit-learn's
        `AgglomerativeClustering` does not merge at it. It must be `None` if `n_clusters` is given.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), dtype int64
        Cluster of each sample, numbered in the order of the clusters' lowest samples.
    n_clusters_ : int
        Number of clusters found.
    children_ : ndarray of shape (n_merges, 2), dtype int64
        The two nodes of each merge, by ascending height. Nodes below `n_samples` are samples; merge
        i makes node `n_samples + i`. If `n_clusters` is given, merges above the cut are left out:
        `n_merges` is `n_samples - n_clusters`; otherwise it is `n_samples - 1`.
    distances_ : ndarray of shape (n_merges,), dtype float64
        Height of each merge: the largest cosine distance between members of the two clusters.
    n_leaves_ : int
        Number of samples.
    n_connected_components_ : int
        1: with no connectivity all samples are connected.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`; defined only if all names of `X` are strings.

    See Also
    --------
    sklearn.cluster.AgglomerativeClustering : Several linkages and metrics, with all distances in
        memory.
    rayred.linkage.complete_linkage : The same clustering as a tree that can be cut at any number
        of clusters.

    Notes
    -----
    The distances of all pairs are never in memory at once; if `n_clusters` is given, only those up
    to about the height of the cut are measured exactly. Equal distances are ordered by the samples'
    numbers, so that the result depends neither on the device nor on the number of threads.

    Other than in `AgglomerativeClustering` without connectivity, `n_clusters` ends the tree at the
    cut, as `compute_full_tree=False` does there with connectivity: the merges above it would take
    most of the time. ``n_clusters=None, distance_threshold=0`` gives the whole tree in both.
    `distances_` is always there, since the merges are found by their heights; and labels are in the
    order of the samples, where `AgglomerativeClustering` has that of its tree.

    The tree is that of Defays, An efficient algorithm for a complete link method (1977); it is
    built by merging all reciprocal nearest clusters at once, as in Sumengen et al., Scaling
    hierarchical agglomerative clustering to billion-sized datasets (arXiv 2105.11653).

    Examples
    --------
    >>> import numpy as np
    >>> from rayred.linkage import CompleteLinkage
    >>> X = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [0.2, 1]])
    >>> clustering = CompleteLinkage(n_clusters=2).fit(X)
    >>> clustering
    CompleteLinkage()
    >>> clustering.labels_
    array([0, 0, 0, 1, 1, 1])
    >>> CompleteLinkage(n_clusters=None, distance_threshold=0.01).fit_predict(X)
    array([0, 1, 1, 2, 3, 3])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left"), None],
        "distance_threshold": [Interval(Real, 0, None, closed="left"), None],
    }

    def __init__(
        self,
        n_clusters: int | None = 2,
        *,
        metric: str = "cosine",
        connectivity: None = None,
        linkage: str = "complete",
        distance_threshold: float | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.metric = metric
        self.connectivity = connectivity
        self.linkage = linkage
        self.distance_threshold = distance_threshold

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's signature
        """Cluster the samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Real numbers, at least two samples; no sample may be all zero.
        y : Ignored
            Not used; here because scikit-learn's estimators have it.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        InvalidParameterError
            `n_clusters` is no integer of 1 or more, `distance_threshold` no number of 0 or more, or
            another metric, connectivity or linkage is given.
        ValueError
            `X` cannot be used, `n_clusters` is more than `n_samples`, or not exactly one of
            `n_clusters` and `distance_threshold` is given.
        """
        self._check_only_choices()
        for name in ("n_clusters", "distance_threshold"):
            value = getattr(self, name)
            if isinstance(value, bool | np.bool_):  # True is an integer to scikit-learn
                raise InvalidParameterError(
                    f"{name} must be a number or None. Got {value} instead."
                )
        rows = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        if (self.n_clusters is None) == (self.distance_threshold is None):
            raise ValueError("give exactly one of n_clusters and distance_threshold")
        tree = next(complete_trees(rows, [np.arange(len(rows))], [self.n_clusters or 1]))
        if self.distance_threshold is None:
            self.n_clusters_ = tree.n_clusters
        else:
            self.n_clusters_ = len(rows) - int((tree.heights <= self.distance_threshold).sum())
        self.labels_ = tree.labels(self.n_clusters_)
        self.children_ = tree.children
        self.distances_ = tree.heights
        self.n_leaves_ = tree.n_rows
        self.n_connected_components_ = 1
        return self

    def _check_only_choices(self) -> None:
        """Refuse what `AgglomerativeClustering` can do and this estimator cannot."""
        for name, only, reason in _ONLY_CHOICES:
            value = getattr(self, name)
            if not (isinstance(value, type(only)) and value == only):
                given = repr(value) if isinstance(value, str) else type(value).__name__
                raise InvalidParameterError(
                    f"{name} must be {only!r}: {reason}. Got {given} instead; use"
                    " sklearn.cluster.AgglomerativeClustering"
                )

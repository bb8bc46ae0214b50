"""The estimator against scikit-learn's own, and against scikit-learn's contract."""

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.utils.estimator_checks import check_estimator

from rayred import CompleteLinkage


def test_estimator_matches_scikit_learn():
    x = np.random.default_rng(0).normal(size=(80, 5))
    ours = CompleteLinkage(n_clusters=7).fit_predict(x)
    theirs = AgglomerativeClustering(7, metric="cosine", linkage="complete").fit_predict(x)
    pairs = set(zip(ours.tolist(), theirs.tolist(), strict=True))
    assert len(pairs) == 7


def test_distance_threshold_bounds_the_merges():
    x = np.random.default_rng(1).normal(size=(60, 4))
    model = CompleteLinkage(n_clusters=None, distance_threshold=0.3).fit(x)
    theirs = AgglomerativeClustering(
        None, metric="cosine", linkage="complete", distance_threshold=0.3
    ).fit(x)
    assert model.n_clusters_ == theirs.n_clusters_ == model.labels_.max() + 1


def test_exactly_one_of_clusters_and_threshold():
    with pytest.raises(ValueError, match="exactly one"):
        CompleteLinkage(n_clusters=2, distance_threshold=0.1).fit(np.eye(3))


def test_estimator_keeps_scikit_learns_contract():
    # The integer data of that check has a row of zeros, which has no cosine distance to any other.
    check_estimator(
        CompleteLinkage(),
        expected_failed_checks={"check_estimators_dtypes": "a row of zeros is an error"},
    )

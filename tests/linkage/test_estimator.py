"""The estimator against scikit-learn's own, and against scikit-learn's contract."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering
from sklearn.utils._param_validation import InvalidParameterError
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


def test_scikit_learns_call_is_taken_as_it_is_and_the_name_stays_short():
    choices = {"metric": "cosine", "connectivity": None, "linkage": "complete"}
    x = np.random.default_rng(2).normal(size=(30, 4))
    assert np.array_equal(
        CompleteLinkage(3, **choices).fit_predict(x), CompleteLinkage(3).fit_predict(x)
    )
    assert repr(clone(CompleteLinkage(3, **choices))) == "CompleteLinkage(n_clusters=3)"
    assert CompleteLinkage(**choices).get_params() == {
        **choices,
        "n_clusters": 2,
        "distance_threshold": None,
    }


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"linkage": "ward"}, "linkage must be 'complete': heights and thresholds .* Got 'ward'"),
        ({"linkage": None}, "linkage must be 'complete': .* Got NoneType"),
        ({"metric": "euclidean"}, "metric must be 'cosine': samples are scaled .* Got 'euclidean'"),
        ({"metric": np.subtract}, "metric must be 'cosine': .* Got ufunc"),
        ({"connectivity": np.eye(3)}, "connectivity must be None: any two .* Got ndarray"),
        ({"connectivity": csr_array(np.eye(3))}, "connectivity must be None: .* Got csr_array"),
    ],
)
def test_another_linkage_metric_or_connectivity_is_refused_with_the_reason(choice, message):
    with pytest.raises(InvalidParameterError, match=message):
        CompleteLinkage(**choice).fit(np.eye(3))


@pytest.mark.parametrize("n_clusters", [1, 4, 29])
def test_the_tree_ends_at_the_cut_as_scikit_learns_does_with_connectivity(n_clusters):
    x = np.random.default_rng(3).normal(size=(30, 4))
    ours = CompleteLinkage(n_clusters).fit(x)
    theirs = AgglomerativeClustering(
        n_clusters,
        metric="cosine",
        linkage="complete",
        connectivity=np.ones((30, 30)),
        compute_full_tree=False,
        compute_distances=True,
    ).fit(x)
    assert ours.children_.shape == theirs.children_.shape == (30 - n_clusters, 2)
    assert np.array_equal(ours.children_, np.sort(theirs.children_, axis=1))
    np.testing.assert_allclose(ours.distances_, theirs.distances_, rtol=1e-9)
    assert ours.n_leaves_ == theirs.n_leaves_
    assert ours.n_connected_components_ == theirs.n_connected_components_


def test_the_whole_tree_comes_with_a_threshold_as_in_scikit_learn():
    x = np.random.default_rng(4).normal(size=(30, 4))
    choice = {"metric": "cosine", "linkage": "complete", "distance_threshold": 0}
    ours = CompleteLinkage(None, **choice).fit(x)
    theirs = AgglomerativeClustering(None, **choice).fit(x)
    assert np.array_equal(ours.children_, theirs.children_)
    np.testing.assert_allclose(ours.distances_, theirs.distances_, rtol=1e-9)
    assert ours.n_clusters_ == theirs.n_clusters_ == 30

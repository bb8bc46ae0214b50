"""Heights in float64, and cuts at, just below and just above each of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from sklearn.utils._param_validation import InvalidParameterError

from rayred import CompleteLinkage
from rayred.linkage import EngineSettings, Tree, complete_linkage
from rayred.linkage.rows import as_unit_rows
from tests.linkage.example_rows import KINDS, make_rows


def clusters_at(x: np.ndarray, threshold: float) -> int:
    model = CompleteLinkage(n_clusters=None, distance_threshold=threshold).fit(x)
    assert model.labels_.max() + 1 == model.n_clusters_
    return int(model.n_clusters_)


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(2, 40),
    seed=st.integers(0, 10**6),
    place=st.floats(0, 1),
    dtype=st.sampled_from([np.float64, np.float32]),
)
@settings(max_examples=150, deadline=None)
def test_a_threshold_beside_a_height_is_on_the_right_side_of_it(kind, n, seed, place, dtype):
    x = make_rows(kind, n, 6, seed).astype(dtype)
    heights = complete_linkage(x).heights
    assert heights.dtype == np.float64
    height = heights[int(place * (len(heights) - 1))]
    above = n - int((heights <= height).sum())
    below = n - int((heights < height).sum())
    for number in (np.float64, float):
        assert clusters_at(x, number(height)) == above
        assert clusters_at(x, number(np.nextafter(height, 9))) == above
        if height > 0:
            assert clusters_at(x, number(np.nextafter(height, 0))) == below
            assert clusters_at(x, number(height * (1 - 1e-9))) <= below


def test_a_height_is_the_largest_distance_within_its_cluster_to_the_last_bits():
    x = make_rows("clustered", 200, 12, 0)
    heights = complete_linkage(x).heights
    unit = as_unit_rows(x)
    expected = linkage(pdist(unit, "sqeuclidean") / 2, "complete")[:, 2]
    np.testing.assert_allclose(heights, expected, rtol=1e-14)


def test_clusters_at_exactly_the_threshold_are_merged_as_by_fcluster():
    x = np.array([[1.0, 0], [1, 0], [0, 1], [0, 2], [-1, 0]])  # distances 0, 1 and 2
    distances = pdist(as_unit_rows(x), "sqeuclidean") / 2
    for threshold in (0.0, 1.0, 2.0):
        theirs = fcluster(linkage(distances, "complete"), threshold, "distance")
        assert clusters_at(x, threshold) == theirs.max()


@pytest.mark.parametrize("threshold", [np.nan, -0.1, "0.1", True, -np.inf])
def test_a_threshold_that_is_no_distance_is_refused(threshold):
    with pytest.raises(InvalidParameterError, match="distance_threshold"):
        CompleteLinkage(n_clusters=None, distance_threshold=threshold).fit(np.eye(3))


@pytest.mark.parametrize("n_clusters", [True, "2", 2.0, 0, np.True_])
def test_a_number_of_clusters_that_is_none_is_refused_by_the_estimator(n_clusters):
    with pytest.raises(InvalidParameterError, match="n_clusters"):
        CompleteLinkage(n_clusters=n_clusters).fit(np.eye(3))


@pytest.mark.parametrize("n_clusters", [True, "2", 2.0, 0, None, np.nan, 4])
def test_a_number_of_clusters_that_is_none_is_refused_by_the_functions(n_clusters):
    with pytest.raises(ValueError, match=r"n_clusters is .*; expected an integer from 1 to 3"):
        complete_linkage(np.eye(3), n_clusters)
    with pytest.raises(ValueError, match=r"n_clusters is .*; expected an integer from 1 to 3"):
        complete_linkage(np.eye(3)).labels(n_clusters)


def test_numpys_integers_are_integers():
    assert complete_linkage(np.eye(3), np.int32(2)).labels(np.uint8(2)).max() == 1
    assert CompleteLinkage(np.int64(2)).fit(np.eye(3)).n_clusters_ == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"first_distance": -1},
        {"first_distance": np.nan},
        {"first_distance": np.inf},
        {"block": (0, 5)},
        {"block": (5, -1)},
        {"block": (5, 2.5)},
        {"block": (True, 5)},
        {"pairs_bytes": -1},
        {"pairs_bytes": 2.5},
        {"find_from": 0},
    ],
)
def test_settings_that_no_work_can_be_done_with_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        EngineSettings(**settings)


def test_trees_are_equal_by_what_they_hold():
    x = make_rows("uniform", 20, 4, 0)
    tree, same, other = complete_linkage(x), complete_linkage(x), complete_linkage(x, 2)
    assert tree == same
    assert hash(tree) == hash(same)
    assert tree != other
    assert tree != "tree"
    assert len({tree, same, other}) == 2
    assert Tree(1, np.empty((0, 2), np.int64), np.empty(0)) == complete_linkage(np.ones((1, 2)))

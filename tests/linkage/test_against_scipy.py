"""Clusters against SciPy's own cosine linkage and cut, and the checks of the input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from rayred.linkage import complete_linkage, linkage_trees


def as_partition(labels) -> set[frozenset[int]]:
    groups: dict[int, set[int]] = {}
    for row, label in enumerate(labels):
        groups.setdefault(int(label), set()).add(row)
    return {frozenset(group) for group in groups.values()}


@given(n=st.integers(2, 60), d=st.integers(2, 20), seed=st.integers(0, 10**6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_complete_linkage_makes_scipys_partition(n, d, seed, data):
    x = np.random.default_rng(seed).normal(size=(n, d))
    k = data.draw(st.integers(1, n))
    expected = fcluster(linkage(x, "complete", "cosine"), k, "maxclust")
    assert as_partition(complete_linkage(x, n_clusters=k).labels(k)) == as_partition(expected)


@pytest.mark.parametrize("method", ["complete", "average", "single"])
def test_heights_are_scipys(method):
    x = np.random.default_rng(1).normal(size=(50, 8))
    tree = next(linkage_trees(x, [np.arange(50)], [1], method=method))
    np.testing.assert_allclose(tree.heights, linkage(x, method, "cosine")[:, 2], rtol=1e-5)
    assert (np.diff(tree.heights) >= 0).all()
    assert tree.heights.dtype == np.float64


def test_scale_of_rows_does_not_matter():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(40, 5))
    scaled = x * rng.uniform(1e-200, 1e200, size=(40, 1))
    assert (complete_linkage(x).labels(9) == complete_linkage(scaled).labels(9)).all()


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp <= 1024, reason="long double is float64")
@pytest.mark.parametrize("exponent", [-16_000, 0, 16_000])
def test_long_double_keeps_rows_beyond_the_range_of_float64(exponent):
    x = np.random.default_rng(3).normal(size=(40, 5))
    scaled = np.ldexp(x.astype(np.longdouble), exponent)
    assert np.array_equal(complete_linkage(scaled).children, complete_linkage(x).children)


@pytest.mark.parametrize("method", ["complete", "average"])
def test_the_row_named_is_that_of_x_and_not_of_its_group(method):
    x = np.eye(6)
    x[4] = 0
    with pytest.raises(ValueError, match="row 4 is all zero"):
        list(linkage_trees(x, [np.array([0, 1]), np.array([2, 4, 5])], [1, 1], method=method))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.array([[1.0, 0.0], [0.0, 0.0]]), "row 1 is all zero"),
        (np.array([[1.0, np.nan], [1.0, 0.0]]), "row 0 has a value that is NaN or infinite"),
        (np.array([[1.0, 0.0], [np.inf, 0.0]]), "row 1 has a value that is NaN or infinite"),
        (np.array([[0.0, 0.0], [np.inf, 0.0]]), "row 0 is all zero"),
        (np.array([[np.nan, 0.0], [0.0, 0.0]]), "row 0 has a value that is NaN or infinite"),
        (np.ones(3), r"shape \(n, d\), got shape \(3,\)"),
        (np.ones((0, 3)), "non-empty"),
        (np.array([["a", "b"]]), "expected real numbers"),
    ],
)
def test_rows_without_a_direction_are_named(x, message):
    with pytest.raises(ValueError, match=message):
        complete_linkage(x)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_impossible_number_of_clusters_is_an_error(k):
    with pytest.raises(ValueError, match="from 1 to 3"):
        complete_linkage(np.eye(3), n_clusters=k)

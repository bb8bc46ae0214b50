"""What the tests of scikit-learn, SciPy and fastcluster hold of complete linkage, held here.

Those tests cluster points of the plane and tables of dissimilarities. `rows_of` turns any such
table D of n rows into unit rows whose cosine distances are 1 − (1 − D / max D) / n, in the same
order: the matrix of their products is positive definite, since each of its rows has 1 on the
diagonal and a sum below 1 off it.
"""

import pickle

import fastcluster
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.cluster.hierarchy import fcluster, is_isomorphic, linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import pdist, squareform
from sklearn.base import clone
from sklearn.cluster import AgglomerativeClustering
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rayred import CompleteLinkage, complete_linkage
from rayred.linkage.rows import as_unit_rows
from tests.linkage.example_rows import KINDS, make_rows
from tests.linkage.test_engine import merges_of, slow_merges


def rows_of(dissimilarities: np.ndarray) -> np.ndarray:
    square = squareform(dissimilarities)
    products = (1 - square / square.max()) / len(square)
    np.fill_diagonal(products, 1)
    return np.linalg.cholesky(products)


def linkage_of(dissimilarities: np.ndarray) -> np.ndarray:
    """Return the engine's tree of a table in SciPy's form, with heights in the table's unit."""
    z = complete_linkage(rows_of(dissimilarities)).to_linkage()
    z[:, 2] = np.max(dissimilarities) * (1 - (1 - z[:, 2]) * (len(z) + 1))
    return z


# Trees that are known.

ROAD_DISTANCES = [662, 877, 255, 412, 996, 295, 468, 268, 400, 754, 564, 138, 219, 869, 669]
SIX_POINTS = [
    [1.43054825, -7.5693489],
    [6.95887839, 6.82293382],
    [2.87137846, -9.68248579],
    [7.87974764, -6.05485803],
    [8.24018364, -6.09495602],
    [7.39020262, 8.54004355],
]


@pytest.mark.parametrize(
    ("dissimilarities", "expected"),
    [
        pytest.param(
            ROAD_DISTANCES,
            [[2, 5, 138, 2], [3, 4, 219, 2], [1, 6, 400, 3], [0, 7, 412, 3], [8, 9, 996, 6]],
            id="SciPy: six cities",
        ),
        pytest.param(
            pdist(SIX_POINTS),
            [
                [3, 4, 0.36265956, 2],
                [1, 5, 1.77045373, 2],
                [0, 2, 2.55760419, 2],
                [6, 8, 6.96742194, 4],
                [7, 9, 18.77445997, 6],
            ],
            id="scikit-learn: six points",
        ),
        pytest.param([3, 4, 1], [[1, 2, 1, 2], [0, 3, 4, 3]], id="SciPy: three points of a line"),
        pytest.param([7], [[0, 1, 7, 2]], id="two rows"),
    ],
)
def test_a_known_table_has_its_known_tree(dissimilarities, expected):
    assert_allclose(linkage_of(dissimilarities), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        pytest.param(
            [[1, 0], [0, 1], [-1, 0]],
            [[0, 1, 1, 2], [2, 3, 2, 3]],
            id="SciPy: of two equal distances that of the lower rows is first",
        ),
        pytest.param(
            np.eye(5),
            [[0, 1, 1, 2], [2, 5, 1, 3], [3, 6, 1, 4], [4, 7, 1, 5]],
            id="all distances equal",
        ),
        pytest.param(
            [[1, 0, 0], [0, 0, 1], [0, 2, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]],
            [[1, 3, 0, 2], [2, 4, 0, 2], [5, 7, 0, 3], [0, 6, 1, 3], [8, 9, 1, 6]],
            id="SciPy: identical points",
        ),
        pytest.param([[3.0], [0.5], [-1.0]], [[0, 1, 0, 2], [2, 3, 2, 3]], id="one feature"),
        pytest.param([[1, 2], [2, 4]], [[0, 1, 0, 2]], id="two samples of one direction"),
        pytest.param([[1, 2]], np.empty((0, 4)).tolist(), id="fastcluster: one sample"),
    ],
)
def test_a_tree_with_ties_is_the_one_of_the_rule_and_exact(x, expected):
    assert complete_linkage(x).to_linkage().tolist() == expected


def test_nearly_and_exactly_equal_samples_follow_the_rule():
    """The samples of scikit-learn's test_connectivity_propagation."""
    near = [(14, 120), (14, 99), (14, 97), (17, 153), (17, 153), (18, 152), (18, 149), (18, 144)]
    x = np.insert(near, 5, np.tile((18, 153), (7, 1)), axis=0) / 1000
    assert merges_of(complete_linkage(x)) == slow_merges(x, len(x) - 1)


# The same trees and clusters as the peers.


@given(n=st.integers(2, 40), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_dissimilarities_in_any_order_have_scipys_and_fastclusters_tree(n, seed):
    """Not only distances: no triangle inequality holds for them."""
    y = 1.0 + np.random.default_rng(seed).permutation(n * (n - 1) // 2)
    ours = linkage_of(y)
    assert_allclose(ours, linkage(y, "complete"), rtol=1e-7)
    assert_allclose(ours, fastcluster.linkage(y, "complete"), rtol=1e-7)
    for k in range(1, n + 1):
        theirs = fcluster(linkage(y, "complete"), k, "maxclust")
        assert is_isomorphic(fcluster(ours, k, "maxclust"), theirs)
        assert is_isomorphic(complete_linkage(rows_of(y), k).labels(k), theirs)


@given(
    kind=st.sampled_from(["uniform", "clustered", "positive"]),
    n=st.integers(2, 60),
    d=st.integers(2, 12),
    share=st.floats(0, 1),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_clusters_are_those_of_scikit_learn_scipy_and_fastcluster(kind, n, d, share, seed):
    x = make_rows(kind, n, d, seed)
    distances = np.sort(pdist(x, "cosine"))
    assume(n < 3 or np.diff(distances).min() > 1e-12)  # rounding decides no order
    k = max(1, round(share * n))
    ours = CompleteLinkage(k).fit(x)
    theirs = AgglomerativeClustering(k, metric="cosine", linkage="complete").fit(x)
    assert is_isomorphic(ours.labels_, theirs.labels_)
    assert np.array_equal(ours.children_, theirs.children_[: n - k])
    for peer in (linkage, fastcluster.linkage):
        z = peer(x, "complete", "cosine")
        assert is_isomorphic(ours.labels_, fcluster(z, k, "maxclust"))
        assert_allclose(ours.distances_, z[: n - k, 2], atol=1e-12)
    height = z[n - 1 - k : n + 1 - k, 2].mean() if 1 < k < n else 3.0 if k == 1 else 0.0
    for model in (CompleteLinkage, AgglomerativeClustering):
        cut = model(None, metric="cosine", linkage="complete", distance_threshold=height).fit(x)
        assert cut.n_clusters_ == k
        assert is_isomorphic(cut.labels_, theirs.labels_)


# What holds of every tree and every cut.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("copies", [1, 3])
def test_a_tree_is_a_tree(kind, copies):
    x = np.tile(make_rows(kind, 40, 5, 0), (copies, 1))
    n = len(x)
    model = CompleteLinkage(None, distance_threshold=0).fit(x)
    assert len(model.children_) + model.n_leaves_ == 2 * n - 1
    assert model.distances_.shape == (n - 1,)
    assert (np.diff(model.distances_) >= 0).all()
    assert np.array_equal(np.sort(model.children_, axis=None), np.arange(2 * n - 2))
    assert (model.children_ < n + np.arange(n - 1)[:, None]).all()
    assert (model.distances_[: n - 40] == 0).all()
    assert np.array_equal(model.distances_[n - 40 :], complete_linkage(x[:40]).heights)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_rows_does_not_matter(kind):
    x = make_rows(kind, 50, 6, 1)
    order = np.random.default_rng(0).permutation(50)
    moved = complete_linkage(x[order])
    expected = complete_linkage(x)
    back = [frozenset(frozenset(order[list(part)]) for part in parts) for parts in merges_of(moved)]
    assert back == merges_of(expected)
    assert np.array_equal(moved.heights, expected.heights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0, 10, 35, 48])
def test_a_threshold_bounds_clusters_from_within_and_without(kind, place):
    x = make_rows(kind, 50, 4, 2)
    distances = squareform(pdist(as_unit_rows(x), "sqeuclidean") / 2)
    threshold = complete_linkage(x).heights[place] * (1 + 1e-9)
    labels = CompleteLinkage(None, distance_threshold=threshold).fit_predict(x)
    for a in range(labels.max() + 1):
        for b in range(a + 1):
            farthest = distances[np.ix_(labels == a, labels == b)].max()
            assert (farthest <= threshold) == (a == b)


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, [0, 1]), (1.0, [0, 0]), (1.5, [0, 0])])
def test_a_threshold_below_at_and_above_the_only_distance(threshold, expected):
    labels = CompleteLinkage(None, distance_threshold=threshold).fit_predict(np.eye(2))
    assert labels.tolist() == expected


# Input and conventions.

WHOLE = np.random.default_rng(0).integers(-8, 9, (30, 6)) * 2.0 + 1  # exact in every dtype
FORMS = {
    "Fortran order": np.asfortranarray,
    "every other column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "columns backwards": lambda x: x[:, ::-1].copy()[:, ::-1],
    "rows backwards": lambda x: x[::-1].copy()[::-1],
    "read-only": lambda x: np.frombuffer(x.tobytes()).reshape(x.shape),
    "big-endian": lambda x: x.astype(">f8"),
    "float32": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "int64": lambda x: x.astype(np.int64),
    "int8": lambda x: x.astype(np.int8),
    "lists": lambda x: x.tolist(),
    "DataFrame": lambda x: pd.DataFrame(x, columns=list("abcdef")),
    "DataFrame of several dtypes": lambda x: pd.DataFrame(x).astype({0: np.int8, 3: np.float32}),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_the_input_does_not_matter_and_it_is_not_changed(form):
    x, expected = FORMS[form](WHOLE), complete_linkage(WHOLE)
    assert complete_linkage(x) == expected
    model = CompleteLinkage(None, distance_threshold=0).fit(x)
    assert np.array_equal(model.children_, expected.children)
    assert np.array_equal(model.distances_, expected.heights)
    assert np.array_equal(np.asarray(x), WHOLE)


def with_value(value: float) -> np.ndarray:
    x = np.eye(3)
    x[1, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "choice", "error", "message"),
    [
        (with_value(np.nan), {}, ValueError, "contains NaN"),
        (with_value(np.inf), {}, ValueError, "contains infinity"),
        (with_value(0), {}, ValueError, "row 1 is all zero"),
        (csr_array(np.eye(3)), {}, TypeError, "Sparse data"),
        (np.eye(3) * 1j, {}, ValueError, "Complex data"),
        (np.ones(3), {}, ValueError, "Expected 2D array"),
        (np.ones((0, 3)), {}, ValueError, "0 sample"),
        (np.ones((3, 0)), {}, ValueError, "0 feature"),
        (np.ones((1, 3)), {"n_clusters": 1}, ValueError, "minimum of 2"),
        (np.eye(3), {"n_clusters": 4}, ValueError, "n_clusters is 4; .* from 1 to 3"),
        (np.eye(3), {"n_clusters": None}, ValueError, "exactly one"),
        (np.eye(3), {"distance_threshold": 1}, ValueError, "exactly one"),
        (np.eye(3), {"linkage": "foo"}, ValueError, "linkage must be 'complete'"),
        (np.eye(3), {"metric": "precomputed"}, ValueError, "metric must be 'cosine'"),
    ],
)
def test_what_cannot_be_clustered_is_refused(x, choice, error, message):
    with pytest.raises(error, match=message):
        CompleteLinkage(**choice).fit(x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (csr_array(np.eye(3)), "sparse csr_array"),
        (np.ma.masked_equal(np.eye(3), 0), "masked"),
        (np.eye(3) * 1j, "real numbers"),
        (np.ones((3, 0)), "non-empty"),
    ],
)
def test_the_function_refuses_what_would_lose_its_meaning_as_an_array(x, message):
    with pytest.raises(ValueError, match=message):
        complete_linkage(x)


def test_the_estimator_behaves_as_one_of_scikit_learn():
    x = pd.DataFrame(make_rows("clustered", 40, 3, 0), columns=["a", "b", "c"])
    model = CompleteLinkage(5)
    assert model.fit(x) is model
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.n_features_in_ == 3
    assert model.labels_.shape == (40,)
    assert np.array_equal(CompleteLinkage(5).fit_predict(x), model.labels_)
    assert not hasattr(clone(model), "labels_")
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(model, "predict")  # as in scikit-learn: the tree is of these rows only
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.labels_, model.labels_)
    assert again.set_params(n_clusters=3).fit(x.to_numpy()).n_clusters_ == 3
    assert not hasattr(again, "feature_names_in_")
    scaled = StandardScaler().fit_transform(x)
    assert np.array_equal(
        make_pipeline(StandardScaler(), CompleteLinkage(5)).fit_predict(x),
        CompleteLinkage(5).fit_predict(scaled),
    )


def test_a_tree_can_be_pickled():
    tree = complete_linkage(WHOLE, 3)
    assert pickle.loads(pickle.dumps(tree)) == tree

"""Trees in SciPy's form: SciPy's own functions give what they give for SciPy's own linkage."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from rayred.linkage import Tree, complete_linkage
from rayred.linkage.rows import as_unit_rows
from tests.linkage.example_rows import KINDS, make_rows
from tests.linkage.test_engine import has_close_distances


def distances_of(x) -> np.ndarray:
    """Return SciPy's condensed cosine distances, with the digits that 1 − a·b would lose."""
    return pdist(as_unit_rows(x), "sqeuclidean") / 2


def numbers(node: hierarchy.ClusterNode) -> list[float]:
    return [node.id, node.count, node.dist, *node.pre_order()]


# What is computed of a linkage Z, the condensed distances y and a height t.
FUNCTIONS = {
    "fcluster by maxclust": lambda z, *_: [
        hierarchy.fcluster(z, k, "maxclust") for k in range(1, len(z) + 2)
    ],
    "fcluster by distance": lambda z, _, t: [hierarchy.fcluster(z, t, "distance")],
    "fcluster by inconsistent": lambda z, *_: [hierarchy.fcluster(z, 0.9, "inconsistent")],
    "fcluster by monocrit": lambda z, _, t: [
        hierarchy.fcluster(z, t, "monocrit", monocrit=hierarchy.maxdists(z))
    ],
    "leaders": lambda z, _, t: hierarchy.leaders(z, hierarchy.fcluster(z, t, "distance")),
    "cophenet": lambda z, *_: [hierarchy.cophenet(z)],
    "cophenetic correlation": lambda z, y, _: [hierarchy.cophenet(z, y)[0]],
    "inconsistent": lambda z, *_: [hierarchy.inconsistent(z, 3)],
    "maxinconsts": lambda z, *_: [hierarchy.maxinconsts(z, hierarchy.inconsistent(z))],
    "maxRstat": lambda z, *_: [hierarchy.maxRstat(z, hierarchy.inconsistent(z), 1)],
    "leaves_list": lambda z, *_: [hierarchy.leaves_list(z)],
    "optimal_leaf_ordering": lambda z, y, _: [hierarchy.optimal_leaf_ordering(z, y)],
    "cut_tree": lambda z, _, t: [hierarchy.cut_tree(z), hierarchy.cut_tree(z, height=[t, t / 2])],
    "dendrogram": lambda z, *_: [
        hierarchy.dendrogram(z, no_plot=True)[key] for key in ("leaves", "icoord", "dcoord")
    ],
    "to_tree": lambda z, *_: [numbers(node) for node in hierarchy.to_tree(z, rd=True)[1]],
    "to_mlab_linkage": lambda z, *_: [hierarchy.to_mlab_linkage(z)],
    "num_obs_linkage": lambda z, *_: [hierarchy.num_obs_linkage(z)],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_scipys_functions_give_what_they_give_for_scipys_linkage(function, kind):
    x = make_rows(kind, 40, 6, 0)
    assert not has_close_distances(x)  # the tree is unique
    y = distances_of(x)
    expected = hierarchy.linkage(y, "complete")
    height = expected[25:27, 2].mean()  # between two heights
    for ours, theirs in zip(
        FUNCTIONS[function](complete_linkage(x).to_linkage(), y, height),
        FUNCTIONS[function](expected, y, height),
        strict=True,
    ):
        assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 3, 40])
def test_the_form_is_scipys(n, kind):
    x = make_rows(kind, n, 6, 1)
    z = complete_linkage(x).to_linkage()
    assert z.shape == (n - 1, 4)
    assert z.dtype == np.float64
    assert hierarchy.is_valid_linkage(z, throw=True)
    assert hierarchy.is_monotonic(z)
    assert hierarchy.correspond(z, distances_of(x))
    assert (z[:, 0] < z[:, 1]).all()
    assert z[-1, 3] == n


def test_ties_and_equal_rows_are_valid_too():
    x = np.tile(np.eye(4), (15, 1))  # four different rows, all equally far apart
    tree = complete_linkage(x)
    z = tree.to_linkage()
    assert hierarchy.is_valid_linkage(z, throw=True)
    assert hierarchy.is_monotonic(z)
    assert (z[:56, 2] == 0).all()
    for k in (1, 2, 3, 4):
        assert np.array_equal(hierarchy.cut_tree(z, k)[:, 0], tree.labels(k))


def test_cophenetic_distance_is_the_height_of_the_first_common_cluster_and_at_least_the_distance():
    x = make_rows("clustered", 30, 4, 2)
    tree = complete_linkage(x)
    expected = np.full((30, 30), np.nan)
    for k in range(1, 31):
        labels = tree.labels(k)
        height = tree.heights[29 - k] if k < 30 else 0.0
        expected[labels[:, None] == labels] = height
    cophenetic = hierarchy.cophenet(tree.to_linkage())
    assert np.array_equal(squareform(cophenetic), expected)
    assert (cophenetic >= distances_of(x) - 1e-14).all()


def test_one_row_has_no_merge_and_scipy_says_so():
    z = complete_linkage(np.ones((1, 3))).to_linkage()
    assert z.shape == (0, 4)
    with pytest.raises(ValueError, match="at least two observations"):
        hierarchy.fcluster(z, 1, "maxclust")


def test_a_tree_that_stops_early_has_no_such_form():
    with pytest.raises(ValueError, match=r"ends at 2 clusters.*build it with n_clusters=1"):
        complete_linkage(np.eye(4), n_clusters=2).to_linkage()


def test_nodes_of_a_tree_made_by_hand_are_put_in_order():
    tree = Tree(3, np.array([[2, 0], [3, 1]]), np.array([0.5, 0.5]))
    assert tree.to_linkage().tolist() == [[0, 2, 0.5, 2], [1, 3, 0.5, 3]]

import numpy as np
import pytest

from rayred.linkage import Tree, complete_linkage
from rayred.linkage.tree import number_by_first_row


def chain() -> Tree:
    return Tree(4, np.array([[1, 2], [0, 3], [4, 5]]), np.array([0.1, 0.2, 0.3]))


@pytest.mark.parametrize(
    ("n_clusters", "expected"),
    [(4, [0, 1, 2, 3]), (3, [0, 1, 1, 2]), (2, [0, 1, 1, 0]), (1, [0, 0, 0, 0])],
)
def test_cut_undoes_all_but_the_lowest_merges(n_clusters, expected):
    labels = chain().labels(n_clusters)
    assert labels.tolist() == expected
    assert labels.dtype == np.int64


@pytest.mark.parametrize("n_clusters", [0, 5])
def test_cut_out_of_reach_is_an_error(n_clusters):
    with pytest.raises(ValueError, match="from 1 to 4"):
        chain().labels(n_clusters)


def test_tree_that_stops_early_cannot_be_cut_deeper():
    x = np.random.default_rng(0).normal(size=(10, 3))
    tree = complete_linkage(x, n_clusters=6)
    assert len(tree.heights) == 4
    with pytest.raises(ValueError, match="from 6 to 10"):
        tree.labels(5)


def test_one_row_is_one_cluster():
    tree = complete_linkage(np.ones((1, 3)), n_clusters=1)
    assert tree.labels(1).tolist() == [0]


def test_labels_are_numbered_by_lowest_row():
    assert number_by_first_row(np.array([7, 3, 7, 9, 3])).tolist() == [0, 1, 0, 2, 1]

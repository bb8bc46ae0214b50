import numpy as np
import pytest

from rayred.clustering import cluster_classes
from rayred.config import Linkage
from rayred.errors import DataError
from rayred.linkage import linkage_tree

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.mark.parametrize("method", ["complete", "average", "single"])
def test_actors_make_the_trees_of_one_process(method):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 8)).astype(np.float32)
    labels = rng.integers(0, 5, 300)
    trees = cluster_classes(x, labels, 0.5, Linkage(method=method), actors=2)
    for label in range(5):
        rows = np.flatnonzero(labels == label)
        expected = linkage_tree(x[rows], int(0.5 * len(rows) + 0.5), method=method)
        assert np.array_equal(trees.members[label], rows)
        assert np.array_equal(trees.trees[label].children, expected.children)
        assert np.array_equal(trees.trees[label].heights, expected.heights)


def test_a_zero_embedding_is_a_data_error():
    x = np.ones((4, 2), np.float32)
    x[2] = 0
    with pytest.raises(DataError, match="row 1 is all zero"):
        cluster_classes(x, np.array([0, 1, 1, 0]), 0.5, Linkage(), actors=1)

import os
import signal

import numpy as np
import pytest

from rayred.cluster import Scaling
from rayred.clustering import cluster_classes
from rayred.config import Linkage
from rayred.errors import DataError
from rayred.linkage import linkage_trees

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.mark.parametrize("method", ["complete", "average", "single"])
def test_actors_make_the_trees_of_one_process(method):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 8)).astype(np.float32)
    labels = rng.integers(0, 5, 300)
    trees = cluster_classes(x, labels, 0.5, Linkage(method=method), Scaling(workers=2))
    for label in range(5):
        rows = np.flatnonzero(labels == label)
        expected = next(linkage_trees(x, [rows], [int(0.5 * len(rows) + 0.5)], method=method))
        assert np.array_equal(trees.members[label], rows)
        assert np.array_equal(trees.trees[label].children, expected.children)
        assert np.array_equal(trees.trees[label].heights, expected.heights)


def test_a_zero_embedding_is_a_data_error():
    x = np.ones((4, 2), np.float32)
    x[2] = 0
    with pytest.raises(DataError, match="row 1 is all zero"):
        cluster_classes(x, np.array([0, 1, 1, 0]), 0.5, Linkage(), Scaling())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_class_spread_over_actors_has_the_tree_of_one_process(workers):
    x = np.random.default_rng(1).normal(size=(3000, 16)).astype(np.float32)
    labels = np.repeat([0, 1], [200, 2800])
    tiled = cluster_classes(x, labels, 0.4, Linkage(), Scaling(workers=workers), tiled_rows=500)
    whole = cluster_classes(x, labels, 0.4, Linkage(), Scaling(workers=workers))
    for ours, theirs in zip(tiled.trees, whole.trees, strict=True):
        assert np.array_equal(ours.children, theirs.children)
        assert np.array_equal(ours.heights, theirs.heights)


def test_an_actor_that_dies_is_replaced_and_its_tile_done_again(tmp_path, monkeypatch):
    from rayred import clustering

    marker = tmp_path / "died"

    class DiesOnce(clustering._Clusterer):
        def near_pairs(self, *task):
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().near_pairs(*task)

    x = np.random.default_rng(1).normal(size=(1000, 8)).astype(np.float32)
    labels = np.zeros(1000, int)
    whole = cluster_classes(x, labels, 0.5, Linkage(), Scaling(workers=2))
    monkeypatch.setattr(clustering, "_Clusterer", DiesOnce)
    tiled = cluster_classes(x, labels, 0.5, Linkage(), Scaling(workers=2), tiled_rows=100)
    assert marker.exists()
    assert np.array_equal(tiled.trees[0].children, whole.trees[0].children)

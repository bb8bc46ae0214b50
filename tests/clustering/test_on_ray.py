import os
import signal

import numpy as np
import pytest

from rayred.clustering.on_ray import (
    ClassActors,
    check_backend,
    cluster_classes,
    find_representatives,
)
from rayred.config import Linkage
from rayred.errors import ConfigError, DataError
from rayred.linkage import linkage_trees, representatives
from rayred.machines.connect import Scaling

pytestmark = pytest.mark.usefixtures("cluster")


def grow(x, labels, fraction, linkage=None, workers=1, **how):
    with ClassActors(x, linkage or Linkage(), Scaling(workers=workers)) as actors:
        return cluster_classes(actors, labels, fraction, **how)


@pytest.mark.parametrize("method", ["complete", "average", "single"])
def test_actors_make_the_trees_of_one_process(method):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 8)).astype(np.float32)
    labels = rng.integers(0, 5, 300)
    trees = grow(x, labels, 0.5, Linkage(method=method), workers=2)
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
        grow(x, np.array([0, 1, 1, 0]), 0.5)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_class_spread_over_actors_has_the_tree_of_one_process(workers):
    x = np.random.default_rng(1).normal(size=(3000, 16)).astype(np.float32)
    labels = np.repeat([0, 1], [200, 2800])
    tiled = grow(x, labels, 0.4, workers=workers, tiled_rows=500)
    whole = grow(x, labels, 0.4, workers=workers)
    for ours, theirs in zip(tiled.trees, whole.trees, strict=True):
        assert np.array_equal(ours.children, theirs.children)
        assert np.array_equal(ours.heights, theirs.heights)


def test_an_actor_that_dies_is_replaced_and_its_tile_done_again(tmp_path, monkeypatch):
    from rayred.clustering import on_ray as clustering

    marker = tmp_path / "died"

    class DiesOnce(clustering._ClassActor):
        def near_pairs(self, *task):
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().near_pairs(*task)

    x = np.random.default_rng(1).normal(size=(1000, 8)).astype(np.float32)
    labels = np.zeros(1000, int)
    whole = grow(x, labels, 0.5, workers=2)
    monkeypatch.setattr(clustering, "_ClassActor", DiesOnce)
    tiled = grow(x, labels, 0.5, workers=2, tiled_rows=100)
    assert marker.exists()
    assert np.array_equal(tiled.trees[0].children, whole.trees[0].children)


def test_representatives_of_all_classes_and_fractions():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 8)).astype(np.float32)
    labels = rng.integers(0, 3, 200)
    with ClassActors(x, Linkage(), Scaling(workers=2)) as actors:
        trees = cluster_classes(actors, labels, 0.3)
        found = find_representatives(actors, trees, [0.7, 0.3])
        assert find_representatives(actors, trees, []) == {}
    for fraction, images in found.items():
        expected = []
        for rows, tree in zip(trees.members, trees.trees, strict=True):
            groups = tree.labels(int(fraction * len(rows) + 0.5))
            expected += rows[representatives(x[rows], groups)].tolist()
        assert images.tolist() == sorted(expected)


def test_cuml_without_a_gpu_or_rapids_says_what_to_install():
    linkage = Linkage(method="single", backend="cuml")
    with pytest.raises(ConfigError, match=r"no GPU for it.*pip install 'rayred\[rapids"):
        check_backend(linkage, Scaling())
    check_backend(Linkage(), Scaling())

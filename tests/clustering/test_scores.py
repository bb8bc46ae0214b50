"""How redundant each image is, against the groups at every cut."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from rayred.clustering.groups import grow_trees
from rayred.clustering.scores import ScoredImages, Scores, load_scores, save_scores
from rayred.config import Linkage


@pytest.mark.parametrize("method", ["complete", "average", "single"])
def test_a_height_is_that_of_the_first_cut_in_which_an_image_is_not_alone(method):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    x[7] = x[30]
    labels = rng.integers(0, 3, 60)
    trees = grow_trees(x, labels, 0.4, Linkage(method=method))
    scores = Scores.of(trees)
    for rows, tree in zip(trees.members, trees.trees, strict=True):
        expected = np.full(len(rows), np.inf)
        for merges in range(len(tree.heights), 0, -1):
            groups = tree.labels(len(rows) - merges)
            together = np.bincount(groups)[groups] > 1
            expected[together] = tree.heights[merges - 1]
        assert np.array_equal(scores.height[rows], expected)
    assert np.isinf(scores.height).any()
    assert sorted(scores.rank) == list(range(1, 61))
    order = np.lexsort([np.arange(60), scores.height])
    assert np.array_equal(scores.rank[order], np.arange(1, 61))


def test_what_the_trees_do_not_reach_is_null_in_the_file(tmp_path):
    scores = Scores(np.array([0.25, np.inf, 0.125]))
    images = ScoredImages(scores, np.array([0, 4, 5]), ["a", "b", "c"], ["cat", "dog", "cat"])
    save_scores(tmp_path / "scores.parquet", images)
    table = pq.read_table(tmp_path / "scores.parquet").to_pydict()
    assert table == {
        "row": [0, 4, 5],
        "name": ["a", "b", "c"],
        "class": ["cat", "dog", "cat"],
        "height": [0.25, None, 0.125],
        "rank": [2, None, 1],
    }
    loaded = load_scores(tmp_path / "scores.parquet")
    assert np.array_equal(loaded.height, scores.height)
    assert np.array_equal(loaded.rank, scores.rank)

"""What stands for each row, against the groups and SciPy's distances."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cosine

from rayred.clustering.groups import grow_trees, kept_rows
from rayred.clustering.standing import Standing
from rayred.config import Linkage


def test_each_row_has_the_kept_row_of_its_group_and_the_distance_to_it():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5)).astype(np.float32)
    x[50:60] = 0  # images without a direction are one group
    x[70] = x[75]
    labels = np.repeat([0, 1], 60)[rng.permutation(120)]
    trees = grow_trees(x, labels, 0.3, Linkage(), zero_rows="apart")
    [kept] = kept_rows(x, trees, [[30, 20]], Linkage())
    standing = Standing.of(x, trees, [30, 20], kept)
    assert np.array_equal(standing.group, trees.groups_at([30, 20]))
    assert np.array_equal(np.unique(standing.representative), kept)
    assert np.array_equal(standing.group[standing.representative], standing.group)
    assert np.array_equal(labels[standing.representative], labels)
    assert (standing.distance[kept] == 0).all()
    for row, (other, distance) in enumerate(
        zip(standing.representative, standing.distance, strict=True)
    ):
        expected = 0 if row == other or not x[row].any() else cosine(x[row], x[other])
        assert abs(distance - expected) < 1e-6

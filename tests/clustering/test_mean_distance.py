"""The space whose distances are the means of others, against those means."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from rayred.clustering import mean_distance
from rayred.clustering.checks import with_directions
from rayred.clustering.groups import redundant_groups
from rayred.clustering.mean_distance import mean_space


def spaces(n: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    scales = rng.uniform(1e-3, 1e3, (3, n, 1))  # which a cosine does not see
    widths = (5, 8, 2)
    return [
        (scale * rng.normal(size=(n, width))).astype(np.float32)
        for scale, width in zip(scales, widths, strict=True)
    ]


def mean_of_distances(each: list[np.ndarray]) -> np.ndarray:
    """Rows that are all zero count as equal to each other and orthogonal to all others."""
    distances = [cdist(x, x, "cosine") for x in map(with_directions, each)]
    return np.mean(distances, axis=0)


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize("zeros", [[], [3, 11]])
def test_its_distance_is_the_mean_of_the_distances(monkeypatch, block, zeros):
    monkeypatch.setattr(mean_distance, "BLOCK_ROWS", block)
    each = spaces()
    each[1][zeros] = 0
    each[2][zeros[:1]] = 0
    found = np.concatenate(list(mean_space(each)))
    assert found.dtype == np.float32
    assert found.shape == (40, 15 + 2 * bool(zeros))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(cdist(found, found, "cosine"), mean_of_distances(each), atol=1e-6)


def test_rows_that_are_zero_in_every_space_are_a_group_of_their_own():
    each = spaces()
    for x in each:
        x[[4, 9, 20]] = 0
    found = np.concatenate(list(mean_space(each)))
    groups = redundant_groups(found, np.zeros(40, dtype=int), [0.5]).trees.groups(0.5)
    assert np.flatnonzero(groups == groups[4]).tolist() == [4, 9, 20]


def test_one_space_keeps_its_groups():
    (x, *_), labels = spaces(), np.zeros(40, dtype=int)
    found = np.concatenate(list(mean_space([x])))
    ours, theirs = (redundant_groups(one, labels, [0.6]).kept[0.6] for one in (found, x))
    np.testing.assert_array_equal(ours, theirs)


def test_examples_print_what_they_say():
    assert doctest.testmod(mean_distance).failed == 0

"""Rows at the ends of float64's range, and rows that are as good as equal, against slow trees."""

from itertools import combinations, product

import numpy as np
import pytest

from rayred.linkage import EngineSettings, complete_linkage
from rayred.linkage.scipy_backend import scipy_tree
from tests.linkage.test_engine import merges_of, slow_merges


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def powers(smallest: int, *shape: int) -> np.ndarray:
    return 10.0 ** np.random.default_rng(1).integers(smallest, 1, shape)


def integers(low: int, high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(low, high, shape)


EXTREMES = {
    "rows of the smallest numbers there are": normal(24, 4) * 1e-322 + 5e-324,
    "entries from 1 to the smallest numbers": normal(24, 4) * powers(-323, 24, 4),
    "x and −x": np.concatenate([normal(12, 3), -normal(12, 3)]),
    "all codes of ±1": np.array(list(product([-1, 1], repeat=4))),
    "all choices of 3 of 6": np.array(
        [np.eye(6)[list(c)].sum(0) for c in combinations(range(6), 3)]
    ),
    "one-hot": np.eye(24),
    "a few roundings apart": normal(1, 6) * (1 + integers(-3, 4, 24, 6) * 2.0**-53),
    "close at every scale": np.insert(normal(24, 3) * powers(-150, 24, 1), 0, 1, axis=1),
    "on a circle": np.array([[np.cos(a), np.sin(a)] for a in np.arange(24) * np.pi / 12]),
    "few rows, many columns": normal(6, 50_000),
    "one column": np.array([[3.0], [-1e-300], [1e300], [-7.0]]),
}


@pytest.mark.parametrize("rows", EXTREMES)
@pytest.mark.parametrize("first", ["chosen", "below every height", "a height", "just below it"])
def test_extreme_rows_have_the_tree_of_the_slow_implementation(rows, first):
    x = EXTREMES[rows]
    height = complete_linkage(x).heights[len(x) // 2]
    distance = {
        "below every height": 0.0,
        "a height": height,
        "just below it": np.nextafter(height, 0),
    }
    settings = EngineSettings(first_distance=distance.get(first), block=(5, 7))
    assert merges_of(complete_linkage(x, settings=settings)) == slow_merges(x, len(x) - 1)


@pytest.mark.parametrize("k", [135, 110, 75, 1])
@pytest.mark.parametrize("exponent", [8, 16, 19, 21, 22, 22.5, 22.75, 23, 24, 40, 140])
def test_distances_below_the_range_of_float32_miss_no_pair(exponent, k):
    x = np.insert(normal(150, 24) * 10.0**-exponent, 0, 1, axis=1)
    tree, expected = complete_linkage(x, k), scipy_tree(x, k, "complete")
    assert np.array_equal(tree.children, expected.children)
    np.testing.assert_allclose(tree.heights, expected.heights, rtol=1e-12)

"""The nearest row of another set of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayred.clustering import nearest
from rayred.clustering.nearest import nearest_rows


def slow(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """All distances, (N, M); of rows that are all zero 0 to each other and 1 to all others."""
    x, others = x.astype(float), others.astype(float)
    zero = ~x.any(1)[:, None] & ~others.any(1)[None]
    with np.errstate(invalid="ignore"):
        a, b = (np.nan_to_num(v / np.linalg.norm(v, axis=1, keepdims=True)) for v in (x, others))
    return np.where(zero, 0.0, 1 - a @ b.T)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_it_is_the_nearest_of_all(seed, n, m, at_a_time):
    rng = np.random.default_rng(seed)
    x, others = rng.integers(-1, 2, (n, 3)), rng.integers(-1, 2, (m, 3)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "ROWS_AT_A_TIME", at_a_time)
        found = nearest_rows(x.astype(np.float32), others)
    distances = slow(x, others)
    assert found.distance == pytest.approx(distances.min(1), abs=1e-12)
    assert distances[np.arange(n), found.other] == pytest.approx(distances.min(1), abs=1e-12)


def test_of_equal_rows_it_is_the_first(monkeypatch):
    monkeypatch.setattr(nearest, "ROWS_AT_A_TIME", 2)
    others = np.array([[0.0, 1], [3, 4], [3, 4], [1, 0], [3, 4]])
    assert nearest_rows(np.array([[3.0, 4], [6, 8], [5, 0]]), others).other.tolist() == [1, 1, 3]


def test_an_equal_row_is_nearer_than_one_that_differs_in_the_last_bit():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 16)).astype(np.float32)
    siblings = x.copy()
    siblings[:, 3] = np.nextafter(siblings[:, 3], np.float32(9))
    found = nearest_rows(x, np.concatenate([siblings, x]))
    assert found.other.tolist() == list(range(300, 600))
    assert not found.distance.any()


def test_equal_rows_of_equal_rows_end():
    x = np.tile(np.arange(1.0, 9), (700, 1))
    found = nearest_rows(x, x)
    assert not found.other.any()
    assert not found.distance.any()


def test_other_columns_are_refused():
    with pytest.raises(ValueError, match="2 columns, where there are 3"):
        nearest_rows(np.ones((2, 3)), np.ones((4, 2)))

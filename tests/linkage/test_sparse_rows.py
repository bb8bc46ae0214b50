"""Distances of rows that are mostly 0, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayred.linkage import pairs, sparse_rows
from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import unit_rows


@given(
    n=st.integers(2, 50),
    d=st.integers(2, 80),
    share=st.floats(0, 0.5),
    tile=st.sampled_from([1, 7, 32]),
    work=st.sampled_from([0, 100, 2_000]),
    at_a_time=st.sampled_from([50, 2**20]),
    seed=st.integers(0, 999),
)
@settings(max_examples=150, deadline=None)
def test_distances_from_tiles_have_the_bits_of_those_of_all_columns(
    n, d, share, tile, work, at_a_time, seed
):
    rng = np.random.default_rng(seed)
    x = rng.random((n, d)) * (rng.random((n, d)) < share)
    x[np.arange(n), rng.integers(0, d, n)] += 0.5
    unit = unit_rows(x)
    i, j = torch.from_numpy(rng.integers(0, n, (2, 4 * n)))  # in any order, some twice
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "tiles_pay", lambda *_: False)
        expected = pair_distances(unit, i, j)
        patch.setattr(sparse_rows, "TILE_ROWS", tile)
        patch.setattr(sparse_rows, "TILE_WORK", work)
        patch.setattr(sparse_rows, "PAIRS_AT_A_TIME", at_a_time)
        patch.setattr(pairs, "tiles_pay", lambda *_: True)
        assert torch.equal(pair_distances(unit, i, j), expected)


def test_tiles_are_for_many_pairs_of_long_rows_of_which_a_tenth_is_not_0():
    rows = np.zeros((10, 400))
    rows[:, :40] = 1
    assert sparse_rows.tiles_pay(rows, 10)
    assert not sparse_rows.tiles_pay(rows, 9)
    assert not sparse_rows.tiles_pay(rows[:, 20:220], 10)
    rows[0, 40] = 1
    assert not sparse_rows.tiles_pay(rows, 10)

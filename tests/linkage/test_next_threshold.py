"""The distance that the next stage looks up to: above the last one, and with enough pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rayred.linkage.pairs import cluster_factors
from rayred.linkage.rows import unit_rows
from rayred.linkage.thresholds import ABOVE_ALL, degree_growth, first_degree, next_threshold
from tests.linkage.example_rows import KINDS, make_rows


def factors(kind: str, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    unit = unit_rows(make_rows(kind, n, 8, 0))
    rows = torch.arange(n)
    return cluster_factors(unit, rows, rows)[:2]


@pytest.mark.parametrize("kind", KINDS)
def test_thresholds_ascend_and_have_about_the_degree_wanted(kind):
    left, right = factors(kind, 2000)
    distances = -(left @ right.T)
    last = -1.0
    for degree in (2.0, 5.0, 20.0):
        found = next_threshold(left, right, last, degree)
        assert found > last
        near = [float((distances <= limit).sum()) / 2000 for limit in (last, found)]
        assert near[1] - near[0] > degree / 4
        last = found
    assert next_threshold(left, right, last, 2000.0) == ABOVE_ALL


def test_the_first_degree_grows_with_the_share_to_merge():
    assert first_degree(1000, 0) == first_degree(1000, 100) == 2
    assert first_degree(1000, 500) == pytest.approx(32.5)


def test_the_next_degree_grows_by_the_merges_that_are_left():
    assert degree_growth(1000, 500, 0) == 0
    assert degree_growth(1000, 250, 250) == pytest.approx(1.5 * (1 / 3 / 0.25) ** 2)
    assert degree_growth(1000, 0, 500) == 256
    growths = [degree_growth(1000, done, 500 - done) for done in range(501)]
    assert all(np.diff(growths) <= 0)

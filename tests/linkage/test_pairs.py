"""Candidates by float32 products, against the distances of all pairs."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from rayred.linkage import rows as linkage_rows
from rayred.linkage.lowered import FLOAT32_ROUNDING, lowered
from rayred.linkage.pairs import cluster_factors, even_strips, near_pairs, pair_distances, widen
from rayred.linkage.rows import as_unit_rows, unit_rows
from tests.linkage.example_rows import make_rows


@pytest.mark.parametrize("strips", [1, 3])
def test_near_pairs_miss_none_and_add_few(strips):
    unit = torch.from_numpy(as_unit_rows(make_rows("clustered", 300, 10, 6)))
    rows = torch.arange(300)
    left, right, slack = cluster_factors(unit, rows, rows)
    widen(left, right, slack)
    found = []
    for strip in even_strips(300, strips):
        for i, j in near_pairs(left, right, 0.2, (32, 64), strip):
            found += zip(i.tolist(), j.tolist(), strict=True)
    a, b = np.triu_indices(300, 1)
    distance = pair_distances(unit, torch.from_numpy(a), torch.from_numpy(b)).numpy()
    near = {(int(p), int(q)) for p, q, d in zip(a, b, distance, strict=True) if d <= 0.2}
    assert near <= set(found)
    assert len(found) == len(set(found))
    assert len(found) < 1.01 * len(near) + 5


@pytest.mark.parametrize("clusters", [90, 40])
def test_rows_taken_some_at_a_time_give_the_same_bits(monkeypatch, clusters):
    x = make_rows("clustered", 90, 7, 3).astype(np.float16)
    rows = np.arange(3, 90)
    cluster = torch.arange(87) % clusters
    found = []
    for size in (2**20, 8 * 7 * 10):
        monkeypatch.setattr(linkage_rows, "CACHED_BYTES", size)
        unit = unit_rows(x, rows=rows)
        left, right, slack = cluster_factors(unit, cluster, cluster.unique())
        found.append([unit, left, right, slack, *lowered(left, right, FLOAT32_ROUNDING)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    x[71] = 0
    with pytest.raises(ValueError, match="row 71 is all zero"):
        unit_rows(x, rows=rows)


def test_mean_distances_keep_their_digits_where_all_rows_lie_close_together():
    """At distances of 1e-22, of rows whose numbers differ in their last six digits only."""
    x = 1 + 1e-10 * np.random.default_rng(0).random((60, 3))
    unit, cluster = torch.from_numpy(as_unit_rows(x)), torch.arange(60) // 3 * 3
    left, right, slack = cluster_factors(unit, cluster, cluster.unique())
    widen(left, right, slack)
    i, j = (torch.arange(60).repeat_interleave(60), torch.arange(60).repeat(60))
    mean = pair_distances(unit, i, j).view(20, 3, 20, 3).mean((1, 3))
    assert (-(left.double() @ right.double().T) <= mean).all()


@pytest.mark.parametrize("far", [0, 1, 5])
def test_far_rows_add_no_candidates_to_those_of_a_collapsed_class(far):
    rng = np.random.default_rng(0)
    x = np.insert(1e-4 * rng.normal(size=(300, 64)), 0, 1, axis=1)
    x[:far] = rng.normal(size=(far, 65))
    unit = torch.from_numpy(as_unit_rows(x))
    a, b = (torch.from_numpy(rows) for rows in np.triu_indices(300, 1))
    distance = pair_distances(unit, a, b)
    limit = float(distance.quantile(0.1))
    near = set(zip(*(rows[distance <= limit].tolist() for rows in (a, b)), strict=True))
    left, right, slack = cluster_factors(unit, torch.arange(300), torch.arange(300))
    widen(left, right, slack)
    pairs = near_pairs(left, right, limit, (64, 64))
    found = {pair for i, j in pairs for pair in zip(i.tolist(), j.tolist(), strict=True)}
    assert near <= found
    assert len(found) < 1.1 * len(near)


def test_strips_cover_all_rows_with_about_the_same_area():
    strips = even_strips(1000, 4)
    assert strips[0][0] == 0
    assert strips[-1][1] == 1000
    assert all(one[1] == other[0] for one, other in pairwise(strips))
    areas = [sum(1000 - row for row in range(*strip)) for strip in strips]
    assert max(areas) < 1.02 * min(areas)

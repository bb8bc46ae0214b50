"""Farthest pairs of rows between clusters: both ways of finding them against a slow one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayred.linkage import farthest
from rayred.linkage.farthest import farthest_pairs
from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import as_unit_rows
from rayred.linkage.sorted_rows import SortedRows
from tests.linkage.example_rows import KINDS, make_rows


def slow_farthest_pairs(unit, cluster, limit):
    """By two clusters: the largest (d, i, j) of their rows, where d is within the limit."""
    i, j = np.triu_indices(len(unit), 1)
    d = pair_distances(unit, torch.from_numpy(i), torch.from_numpy(j)).tolist()
    found = {}
    for pair in zip(d, i.tolist(), j.tolist(), strict=True):
        ends = sorted((int(cluster[pair[1]]), int(cluster[pair[2]])))
        if ends[0] != ends[1]:
            found[tuple(ends)] = max(found.get(tuple(ends), (-1.0, 0, 0)), pair)
    return {ends: pair for ends, pair in found.items() if pair[0] <= limit}


@given(
    kind=st.sampled_from([*KINDS, "levels"]),
    n=st.integers(2, 70),
    share=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    block=st.tuples(st.sampled_from([3, 16, 100]), st.sampled_from([5, 16, 100])),
    limit=st.sampled_from([1e-6, 1e-5, 0.05, 0.5, 4.0]),
    dense_share=st.sampled_from([0.0, 0.3, 2.0]),
    measured=st.sampled_from([1, 5, 40, farthest.MEASURED_PAIRS]),
    table=st.sampled_from([1, 30, farthest.TABLE_ENTRIES]),
)
@settings(max_examples=200, deadline=None)
def test_products_and_list_find_the_same_farthest_pairs(
    kind, n, share, seed, block, limit, dense_share, measured, table
):
    rng = np.random.default_rng(seed)
    if kind == "levels":
        x = rng.integers(0, 3, (n, 3)) + np.array([1, 0, 0])
    else:
        x = make_rows(kind, n, 8, seed)
    unit = torch.from_numpy(as_unit_rows(x))
    labels = torch.from_numpy(rng.integers(0, max(1, round(share * n)), n))
    cluster = torch.full((n,), n).scatter_reduce_(0, labels, torch.arange(n), "amin")[labels]
    names = cluster.unique()
    a, b = (names[torch.from_numpy(p)] for p in np.triu_indices(len(names), 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(farthest, "DENSE_SHARE", dense_share)
        patch.setattr(farthest, "MEASURED_PAIRS", measured)
        patch.setattr(farthest, "TABLE_ENTRIES", table)
        found = farthest_pairs(unit, cluster, a, b, limit, block)
    pairs = {
        (one, other): tuple(top)
        for one, other, *top in zip(*(values.tolist() for values in found), strict=True)
    }
    assert len(pairs) == len(found.a)
    assert pairs == slow_farthest_pairs(unit, cluster.numpy(), limit)


@pytest.mark.parametrize("dense_share", [0.0, 2.0])
def test_few_pairs_of_rows_are_in_memory_at_a_time(monkeypatch, dense_share):
    """Two clusters of 100 rows have 10,000 pairs of rows, of which 500 are measured at once."""
    sizes = []

    def measure(unit, i, j):
        sizes.append(len(i))
        return pair_distances(unit, i, j)

    monkeypatch.setattr(farthest, "pair_distances", measure)
    monkeypatch.setattr(farthest, "MEASURED_PAIRS", 500)
    monkeypatch.setattr(farthest, "DENSE_SHARE", dense_share)
    tables = []
    products = SortedRows.smallest_products

    def table(self, first, end, tiles):
        found = products(self, first, end, tiles)
        tables.append(found.numel())
        return found

    monkeypatch.setattr(SortedRows, "smallest_products", table)
    unit = torch.from_numpy(as_unit_rows(make_rows("uniform", 200, 8, 0)))
    two = torch.tensor([0, 1]).repeat(100)
    farthest_pairs(unit, two, torch.tensor([0]), torch.tensor([1]), 4.0, (16, 16))
    assert max(sizes, default=0) <= 500
    monkeypatch.setattr(farthest, "TABLE_ENTRIES", 300)
    pairs = torch.from_numpy(np.arange(200) // 2 * 2)
    names = pairs.unique()
    a, b = (names[torch.from_numpy(p)] for p in np.triu_indices(100, 1))
    tables.clear()
    farthest_pairs(unit, pairs, a, b, 4.0, (16, 16))
    assert max(tables, default=0) <= 300

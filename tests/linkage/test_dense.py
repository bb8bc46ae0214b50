"""Merges from all pairs at once: the order of pairs, and the tree, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayred.linkage import dense, merging
from rayred.linkage.dense import dense_merges, merges_of_ranks
from rayred.linkage.distinct import distinct_rows
from rayred.linkage.merging import Edges, merge_rounds
from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import unit_rows
from tests.linkage.example_rows import KINDS, make_rows
from tests.linkage.test_distinct import few_values


def rows_of(kind: str, n: int, d: int, seed: int) -> torch.Tensor:
    """Different unit rows."""
    make = make_rows if kind in KINDS else few_values
    return distinct_rows(unit_rows(make(kind, n, d, seed))).unit


def measured(unit: torch.Tensor) -> np.ndarray:
    i, j = torch.triu_indices(len(unit), len(unit), 1)
    return pair_distances(unit, i, j).numpy()


@given(
    kind=st.sampled_from([*KINDS, "codes", "k-of-n", "integers", "one-hot"]),
    n=st.integers(2, 60),
    d=st.integers(2, 40),
    seed=st.integers(0, 999),
    strip=st.sampled_from([1, 100, 10**6]),
)
@settings(max_examples=150, deadline=None)
def test_pairs_are_in_the_order_of_their_distances_and_rows(kind, n, d, seed, strip):
    unit = rows_of(kind, n, d, seed)
    if len(unit) < 2:
        return
    distances = measured(unit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dense, "STRIP_ENTRIES", strip)
        estimates, slack = dense._estimates(unit)
        assert np.abs(estimates - distances).max() <= slack
        order = dense._order_of_pairs(unit)
        _, heights = dense_merges(unit)
    assert np.array_equal(order, distances.argsort(kind="stable"))
    assert np.isin(heights, distances).all()


@given(
    st.lists(st.sampled_from([0.0, 5e-324, 1e-300, 0.1, 0.1 + 2**-56, 0.1 + 2**-55, 1.0, 2.0])),
    st.integers(0, 40),
)
def test_the_order_of_numbers_is_stable_and_by_all_their_bits(values, more):
    values = np.array(values + [0.3 + number * 2.0**-54 for number in range(more)])
    assert np.array_equal(dense._ascending(values), values.argsort(kind="stable"))


def as_edges(low, high, rank) -> Edges:
    return Edges(*(torch.tensor(values, dtype=torch.int64) for values in (low, high, rank)))


def slow(edges: Edges, n: int) -> list[tuple[int, int, int]]:
    """Merge the clusters whose farthest pair is the closest, while there are all their pairs."""
    rank = {
        frozenset(pair): r
        for *pair, r in zip(*(t.tolist() for t in (edges.low, edges.high, edges.rank)), strict=True)
    }
    clusters = [frozenset([row]) for row in range(n)]
    merges = []
    while True:
        found = []
        for place, one in enumerate(clusters):
            for other in clusters[:place]:
                ranks = [rank.get(frozenset((a, b)), np.inf) for a in one for b in other]
                found.append((max(ranks), one, other))
        if not found or (best := min(found, key=lambda merge: merge[0]))[0] == np.inf:
            return merges
        farthest, one, other = best
        merges.append((min(min(one), min(other)), max(min(one), min(other)), farthest))
        clusters = [c for c in clusters if c not in (one, other)] + [one | other]


@pytest.mark.parametrize("how", ["rounds", "densely", "halves"])
@given(n=st.integers(2, 16), share=st.floats(0.1, 1), seed=st.integers(0, 9999))
@settings(max_examples=60, deadline=None)
def test_all_ways_to_merge_a_graph_are_one(how, n, share, seed):
    """Whatever a graph has of its pairs, and whichever way is taken."""
    rng = np.random.default_rng(seed)
    low, high = np.triu_indices(n, 1)
    kept = np.flatnonzero(rng.random(len(low)) < share)
    order = rng.permutation(kept)
    edges = as_edges(low[order], high[order], np.arange(len(order)) * 3)
    with pytest.MonkeyPatch.context() as patch:
        if how == "rounds":
            patch.setattr(merging, "FIRST_ROUNDS", 10**9)
            patch.setattr(merging, "DENSE_WORK", 1e18)
        else:
            patch.setattr(merging, "SMALL_PART", 1)
            patch.setattr(merging, "FIRST_ROUNDS", 0)
            patch.setattr(merging, "FIRST_WINDOW", 4)
            if how == "halves":
                patch.setattr(merging, "LARGEST_PART", 2)
                patch.setattr(merging, "ROUND_WORK", 1)
            else:
                patch.setattr(merging, "DENSE_WORK", 0)
        groups = torch.zeros(n, dtype=torch.int64)
        merged = merge_rounds(edges, groups, torch.tensor([n]))
    found = zip(*(t.tolist() for t in (merged.low, merged.high, merged.rank)), strict=True)
    assert list(found) == slow(edges, n)


def test_merges_of_ranks_name_clusters_by_their_lowest():
    # 2 and 3 are the closest, then 0 and 1; 0 and 3 are the farthest.
    pairs, ranks = merges_of_ranks(np.array([1.0, 2, 5, 3, 4, 0]), 4)
    assert pairs.tolist() == [[2, 3], [0, 1], [0, 2]]
    assert ranks.tolist() == [0, 1, 5]

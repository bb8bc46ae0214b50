"""Trees that end at a distance: those of the whole tree, without the merges above it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayred.linkage import EngineSettings, complete_linkage, engine, linkage_trees
from tests.linkage.example_rows import KINDS, make_rows
from tests.linkage.test_worst_cases import any_rows


@given(
    kind=st.sampled_from([*KINDS, "circle", "codes", "k-of-n", "integers", "one-hot", "three"]),
    n=st.integers(1, 150),
    d=st.integers(3, 30),
    place=st.floats(0, 1),
    beside=st.sampled_from([-1, 0, 1]),
    share=st.sampled_from([0.0, 0.5]),
    pairs=st.sampled_from([300, 10**6]),
    all_pairs=st.sampled_from([0.0, 0.25, 2.0]),
    seed=st.integers(0, 999),
)
@settings(max_examples=200, deadline=None)
def test_the_tree_ends_at_the_distance_or_the_number_of_clusters(
    kind, n, d, place, beside, share, pairs, all_pairs, seed
):
    x = any_rows(kind, n, d, seed)
    whole = complete_linkage(x)
    k = max(1, round(share * n))
    heights = np.append(whole.heights, 0.0)
    height = heights[int(place * (len(heights) - 1))]
    distance = max(0.0, np.nextafter(height, height + beside))
    some = EngineSettings(pairs_bytes=pairs * engine.BYTES_A_NEAR_PAIR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ALL_PAIRS_SHARE", all_pairs)
        tree = complete_linkage(x, k, max_distance=distance, settings=some)
    merges = min(n - k, int((whole.heights <= distance).sum()))
    assert np.array_equal(tree.children, whole.children[:merges])
    assert np.array_equal(tree.heights, whole.heights[:merges])
    assert tree == complete_linkage(x, k).up_to(distance)


def test_a_small_distance_takes_no_pairs_beyond_it(monkeypatch):
    limits = []
    added = engine.find_near

    def find(clusters, lowest, *rest):
        limits.append(lowest.limit)
        return added(clusters, lowest, *rest)

    monkeypatch.setattr(engine, "find_near", find)
    tree = complete_linkage(make_rows("clustered", 400, 8, 0), max_distance=0.01)
    assert max(limits) == 0.01
    assert 1 < tree.n_clusters < 400


@pytest.mark.parametrize("method", ["complete", "average", "single"])
def test_every_method_ends_at_the_distance(method):
    x = make_rows("clustered", 60, 4, 0)
    groups = [np.arange(40), np.arange(40, 60)]
    whole = linkage_trees(x, groups, [1, 1], method=method)
    trees = linkage_trees(x, groups, [1, 1], method=method, max_distance=0.05)
    for tree, all_of_it in zip(trees, whole, strict=True):
        assert tree == all_of_it.up_to(0.05)
        assert (tree.heights <= 0.05).all()


@pytest.mark.parametrize("distance", [-1e-9, np.nan])
def test_distances_below_0_are_refused(distance):
    with pytest.raises(ValueError, match="max_distance"):
        complete_linkage(np.eye(3), max_distance=distance)
    with pytest.raises(ValueError, match="max_distance"):
        complete_linkage(np.eye(3)).up_to(distance)

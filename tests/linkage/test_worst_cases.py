"""Rows with many equal distances, or of which one pair after another is merged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayred.linkage import EngineSettings, complete_linkage, engine, linkage_trees, merging
from rayred.linkage.scipy_backend import scipy_tree
from tests.linkage.example_rows import KINDS, make_rows
from tests.linkage.test_distinct import few_values


def circle(n: int) -> np.ndarray:
    """Rows on half a circle, each gap a little larger than the one before: pairs merge in turn."""
    angle = np.cumsum(1 + np.arange(n) / n)
    angle *= np.pi / angle[-1]
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def hypercube(bits: int) -> np.ndarray:
    return (np.arange(2**bits)[:, None] >> np.arange(bits) & 1) * 2.0 - 1


def tags(n: int, d: int) -> np.ndarray:
    """Three numbers a row that are not 0."""
    rng = np.random.default_rng(0)
    x = np.zeros((n, d))
    for row in x:
        row[rng.choice(d, 3, replace=False)] = rng.random(3)
    return x


def any_rows(kind: str, n: int, d: int, seed: int) -> np.ndarray:
    if kind == "circle":
        return circle(n)
    return (make_rows if kind in KINDS else few_values)(kind, n, d, seed)


@given(
    kind=st.sampled_from([*KINDS, "circle", "codes", "k-of-n", "integers", "one-hot", "three"]),
    n=st.integers(2, 120),
    d=st.integers(3, 30),
    share=st.floats(0, 1),
    seed=st.integers(0, 999),
    first=st.sampled_from([None, 0.01, 0.3]),
)
@settings(max_examples=100, deadline=None)
def test_the_tree_from_all_pairs_is_that_from_near_pairs(kind, n, d, share, seed, first):
    x = any_rows(kind, n, d, seed)
    k = max(1, round(share * n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "ALL_PAIRS_SHARE", 2.0)
        near = complete_linkage(x, k, settings=EngineSettings(first_distance=first))
        patch.setattr(engine, "SMALL", 2)
        for share_of_pairs in (0.0, 0.3):
            patch.setattr(engine, "ALL_PAIRS_SHARE", share_of_pairs)
            every = complete_linkage(x, k, settings=EngineSettings(first_distance=first))
            assert every == near


@given(
    kind=st.sampled_from([*KINDS, "circle", "codes", "k-of-n", "integers", "one-hot", "three"]),
    n=st.integers(2, 150),
    d=st.integers(3, 30),
    share=st.floats(0, 1),
    seed=st.integers(0, 999),
    first=st.sampled_from([None, 0.01, 0.3, 4.0]),
    pairs=st.sampled_from([0, 300, 1_000]),
    block=st.sampled_from([None, (5, 7), (64, 32)]),
)
@settings(max_examples=100, deadline=None)
def test_the_tree_is_the_same_however_few_pairs_fit_into_memory(
    kind, n, d, share, seed, first, pairs, block
):
    x = any_rows(kind, n, d, seed)
    k = max(1, round(share * n))
    size = pairs * engine.BYTES_A_NEAR_PAIR
    few = EngineSettings(first_distance=first, pairs_bytes=size, block=block)
    assert complete_linkage(x, k, settings=few) == complete_linkage(x, k)


@pytest.mark.parametrize("seed", range(5))
def test_distances_that_differ_by_one_bit_are_not_lost_between_stages(seed):
    rng = np.random.default_rng(seed)
    x = np.zeros((60, 80))
    for row in x:
        row[rng.choice(80, 3, replace=False)] = rng.choice([1, 2, 0.3], 3)
    few = EngineSettings(pairs_bytes=0, block=(16, 8), first_distance=4.0)
    assert complete_linkage(x, 2, settings=few) == complete_linkage(x, 2)


def test_groups_merged_from_all_pairs_and_from_near_pairs_share_a_batch():
    x = np.concatenate([make_rows("uniform", 300, 90, 0), np.eye(90)])
    groups = [np.arange(300), np.arange(300, 390)]
    reports = []
    choice = EngineSettings(progress=lambda stage, share: reports.append((stage, share)))
    together = list(linkage_trees(x, groups, [250, 5], settings=choice))
    assert any(stage.endswith("all pairs of 90 rows") for stage, _ in reports)
    assert not any(stage.endswith("all pairs of 300 rows") for stage, _ in reports)
    for rows, tree in zip(groups, together, strict=True):
        assert tree == complete_linkage(x[rows], tree.n_clusters)


@pytest.mark.parametrize("x", [np.eye(600), hypercube(9), tags(500, 800)], ids=["1", "2", "3"])
def test_many_equal_distances_take_no_more_edges_than_pairs(x, monkeypatch):
    assert edges_read(x, len(x) // 2, monkeypatch) <= 3 * len(x) ** 2


@pytest.mark.parametrize("n", [500, 2000])
def test_pairs_that_merge_in_turn_take_no_more_edges_than_pairs(n, monkeypatch):
    assert edges_read(circle(n), n // 2, monkeypatch) <= 3 * n**2


def edges_read(x: np.ndarray, k: int, patch: pytest.MonkeyPatch) -> int:
    """Return the number of edges that all rounds have read together, each as often as it was."""
    read = []
    plain = merging._contract

    def counted(edges, joined, scratch):
        read.append(len(edges))
        return plain(edges, joined, scratch)

    patch.setattr(merging, "_contract", counted)
    tree = complete_linkage(x, k)
    np.testing.assert_allclose(tree.heights, scipy_tree(x, k, "complete").heights, rtol=1e-12)
    return sum(read)

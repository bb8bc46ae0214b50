"""The engine against SciPy, and its order of ties against a slow implementation of the rule."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from rayred.linkage import EngineSettings, complete_linkage, engine, linkage_trees, near, threads
from rayred.linkage.pairs import near_pairs, pair_distances
from rayred.linkage.rows import as_unit_rows, unit_rows
from rayred.linkage.scipy_backend import scipy_tree
from tests.linkage.example_rows import KINDS, make_rows


def has_close_distances(x: np.ndarray) -> bool:
    """Whether rounding can change the order of two distances, so that two trees are right."""
    distances = np.sort(pdist(as_unit_rows(x), "sqeuclidean"))
    return bool((np.diff(distances) <= 1e-12 * distances[1:]).any())


def slow_merges(x: np.ndarray, count: int) -> list[frozenset[frozenset[int]]]:
    """Merge the two closest clusters again and again; pairs are ordered by (d, i, j)."""
    unit = torch.from_numpy(as_unit_rows(x))
    i, j = np.triu_indices(len(x), 1)
    distance = pair_distances(unit, torch.from_numpy(i), torch.from_numpy(j)).numpy()
    rank = {(a, b): r for r, (_, a, b) in enumerate(sorted(zip(distance, i, j, strict=True)))}
    clusters = [frozenset([row]) for row in range(len(x))]
    merges = []
    for _ in range(count):
        _, a, b = min(
            (max(rank[min(p, q), max(p, q)] for p in a for q in b), min(a), min(b))
            for k, a in enumerate(clusters)
            for b in clusters[:k]
        )
        first, second = (next(c for c in clusters if row in c) for row in (a, b))
        clusters = [c for c in clusters if c not in (first, second)] + [first | second]
        merges.append(frozenset((first, second)))
    return merges


def merges_of(tree) -> list[frozenset[frozenset[int]]]:
    nodes = [frozenset([row]) for row in range(tree.n_rows)]
    merges = []
    for a, b in tree.children:
        merges.append(frozenset((nodes[a], nodes[b])))
        nodes.append(nodes[a] | nodes[b])
    return merges


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(2, 150),
    d=st.integers(3, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    block=st.tuples(st.sampled_from([3, 8, 64]), st.sampled_from([5, 16, 64])),
    dtype=st.sampled_from([np.float64, np.float32, np.float16]),
)
@settings(max_examples=100, deadline=None)
def test_partition_and_heights_are_scipys(kind, n, d, share, seed, block, dtype):
    x = make_rows(kind, n, d, seed).astype(dtype)
    if has_close_distances(x):
        return  # ties: the next tests
    k = max(1, round(share * n))
    expected = scipy_tree(x, k, "complete")
    tree = complete_linkage(x, k, settings=EngineSettings(block=block))
    assert tree.n_clusters == k
    np.testing.assert_allclose(tree.heights, expected.heights, rtol=1e-6, atol=1e-15)
    for cut in {k, (k + n) // 2, n}:
        assert np.array_equal(tree.labels(cut), expected.labels(cut))


@given(
    n=st.integers(2, 24),
    levels=st.integers(1, 3),
    share=st.floats(0, 1),
    seed=st.integers(0, 10**6),
    first=st.sampled_from([None, 0.0, 0.05, 0.4, 3.0]),
)
@settings(max_examples=80, deadline=None)
def test_ties_follow_the_written_rule(n, levels, share, seed, first):
    """Rows of small integers: equal rows, and equal distances everywhere."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, levels + 1, (n, 3)).astype(float)
    x[:, 0] += 1
    k = max(1, round(share * n))
    tree = complete_linkage(x, k, settings=EngineSettings(block=(4, 8), first_distance=first))
    assert merges_of(tree) == slow_merges(x, n - k)
    assert (np.diff(tree.heights) >= 0).all()


@pytest.mark.parametrize("share", [0.9, 0.4, 0.02])
def test_tree_does_not_depend_on_blocks_threads_first_distance_or_company(share):
    n = 400
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (n, 6)).astype(np.float32)
    x[:, 0] += 1
    k = round(share * n)
    plain = complete_linkage(x, k)
    for choice in (
        EngineSettings(block=(37, 24)),
        EngineSettings(block=(n, n)),
        EngineSettings(first_distance=0.3),
        EngineSettings(first_distance=1e-9),
    ):
        assert np.array_equal(complete_linkage(x, k, settings=choice).children, plain.children)
    torch.set_num_threads(2)  # one otherwise
    assert np.array_equal(complete_linkage(x, k).children, plain.children)
    torch.set_num_threads(1)

    order = rng.permutation(n)
    groups = [np.sort(order[:150]), np.sort(order[150:160]), np.sort(order[160:])]
    counts = [max(1, round(share * len(rows))) for rows in groups]
    together = list(linkage_trees(x, groups, counts))
    for rows, count, tree in zip(groups, counts, together, strict=True):
        assert np.array_equal(tree.children, complete_linkage(x[rows], count).children)


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("fewest", [1, threads.FEWEST_ENTRIES])
def test_groups_side_by_side_make_the_same_trees(count, fewest, monkeypatch):
    monkeypatch.setattr(threads, "FEWEST_ENTRIES", fewest)
    x = make_rows("clustered", 3000, 80, 1)
    groups = [np.arange(first, 3000, 20) for first in range(19)] + [np.arange(40)]
    counts = [len(rows) // 3 for rows in groups]
    told: list[str] = []
    told_by = EngineSettings(progress=lambda text, _: told.append(text))
    with torch.inference_mode():  # of this thread alone
        plain = list(linkage_trees(x, groups, counts, settings=told_by))
        said, told[:] = set(told), []
        torch.set_num_threads(count)
        together = list(linkage_trees(x, groups, counts, settings=told_by))
    assert torch.get_num_threads() == count
    assert set(told) == said
    for one, other in zip(plain, together, strict=True):
        assert np.array_equal(one.children, other.children)
        assert np.array_equal(one.heights, other.heights)


def test_of_groups_side_by_side_the_first_bad_row_is_named(monkeypatch):
    monkeypatch.setattr(threads, "FEWEST_ENTRIES", 1)
    x = make_rows("uniform", 400, 8, 1)
    x[[237, 93, 391]] = np.nan
    torch.set_num_threads(2)
    groups = np.array_split(np.arange(400), 40)
    with pytest.raises(ValueError, match="row 93 has a value that is NaN or infinite"):
        list(linkage_trees(x, groups, [5] * 40))
    assert torch.get_num_threads() == 2


def test_small_batches_make_the_same_trees(monkeypatch):
    x = make_rows("clustered", 500, 8, 1)
    groups = [np.arange(start, start + 50) for start in range(0, 500, 50)]
    whole = list(linkage_trees(x, groups, [20] * 10))
    monkeypatch.setattr(engine, "BATCH_BYTES", 8 * engine.BATCH_WIDTH * 120)
    for one, other in zip(whole, linkage_trees(x, groups, [20] * 10), strict=True):
        assert np.array_equal(one.children, other.children)


@pytest.mark.parametrize("rows", [1, 100, 1000])
def test_groups_prepared_together_make_the_same_trees(rows, monkeypatch):
    x = make_rows("clustered", 500, 8, 1)
    x[[7, 203, 204]] = x[[8, 3, 203]]  # equal rows in two groups and in one
    groups = [np.arange(start, min(start + 90, 500)) for start in range(0, 500, 90)]
    expected = [complete_linkage(x[group], 20) for group in groups]
    monkeypatch.setattr(engine, "RUN_ENTRIES", 8 * rows)
    for tree, found in zip(expected, linkage_trees(x, groups, [20] * 6), strict=True):
        assert np.array_equal(tree.children, found.children)
        assert np.array_equal(tree.heights, found.heights)


@pytest.mark.parametrize("pairs_bytes", [0, 2**31])
@pytest.mark.parametrize("max_distance", [0.4, 4.0])
def test_all_pairs_of_few_clusters_make_the_tree_of_near_ones(pairs_bytes, max_distance):
    x = make_rows("clustered", engine.SMALL, 8, 1)
    found = [
        complete_linkage(x, 5, max_distance=max_distance, settings=settings)
        for settings in (
            EngineSettings(pairs_bytes=pairs_bytes),
            EngineSettings(first_distance=0.01),
        )
    ]
    assert len(found[0].heights) > 10
    assert np.array_equal(found[0].children, found[1].children)
    assert np.array_equal(found[0].heights, found[1].heights)


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_a_cluster_is_within_the_cut_height(kind):
    x = make_rows(kind, 600, 12, 3)
    x = np.concatenate([x, x[:200]])
    unit = as_unit_rows(x)
    tree = complete_linkage(x)
    assert (np.diff(tree.heights) >= 0).all()
    for k in (700, 400, 80, 7):
        labels = tree.labels(k)
        assert labels.max() + 1 == k
        height = tree.heights[len(x) - k - 1]
        for label in range(k):
            rows = unit[labels == label]
            spread = ((rows[:, None] - rows[None]) ** 2).sum(2).max() / 2
            assert spread <= height * (1 + 1e-6) + 1e-15


def test_collapsed_classes_keep_their_order():
    """Heights of 1e-5 and less, where 1 − s in float32 has no digits left."""
    x = make_rows("collapsed", 1000, 64, 4).astype(np.float32)
    tree, expected = complete_linkage(x, 800), scipy_tree(x, 800, "complete")
    assert tree.heights.max() < 1e-5
    assert np.array_equal(tree.labels(800), expected.labels(800))


def test_equal_rows_by_the_thousand_do_not_blow_up_the_graph():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(12_000, 16))
    x[1000:11_000] = x[0]
    tree = complete_linkage(x, 1500)
    assert (tree.heights[:10_000] == 0).all()
    assert tree.heights[10_000] > 0
    labels = tree.labels(2000)
    assert (labels[1000:11_000] == labels[0]).all()
    assert labels.max() + 1 == 2000
    assert np.array_equal(np.unique(tree.labels(8000)[1000:5000]), [0])


def test_large_groups_are_given_to_the_finder_of_the_settings():
    x = make_rows("clustered", 300, 8, 2)
    sizes = []

    def find(left, right, limit, block, boxes, most, report):
        sizes.append(len(left))
        assert most >= len(left)
        report(0.5)
        i, j = (
            torch.cat(parts)
            for parts in zip(*near_pairs(left, right, limit, block, None, boxes), strict=True)
        )
        return i.flip(0), j.flip(0)

    settings = EngineSettings(find=find, find_from=200)
    trees = list(
        linkage_trees(x, [np.arange(220), np.arange(220, 300)], [150, 20], settings=settings)
    )
    assert sizes[0] == 220
    assert min(sizes) >= 200
    for tree, rows in zip(trees, (x[:220], x[220:]), strict=True):
        expected = complete_linkage(rows, tree.n_clusters)
        assert np.array_equal(tree.children, expected.children)


def test_progress_is_reported_by_stage_and_share():
    reports = []
    settings = EngineSettings(progress=lambda stage, share: reports.append((stage, share)))
    complete_linkage(make_rows("uniform", 200, 8, 3), 100, settings=settings)
    assert reports[0] == ("0 of 100 merges, near pairs of 200 clusters", 1.0)
    assert re.fullmatch(r"0 of 100 merges, [\d,]+ near pairs", reports[1][0])
    assert reports[1][1] == 0
    assert re.fullmatch(r"100 of 100 merges, [\d,]+ near pairs", reports[-1][0])
    assert reports[-1][1] == 1
    reports.clear()
    complete_linkage(np.eye(90), 20, settings=settings)
    assert reports[-2:] == [
        ("0 of 70 merges, all pairs of 90 rows", 0.0),
        ("70 of 70 merges, all pairs of 90 rows", 1.0),
    ]


def test_progress_counts_no_merges_of_equal_rows():
    reports = []
    settings = EngineSettings(progress=lambda stage, _: reports.append(stage))
    x = np.vstack([np.eye(4), np.ones((20, 4))])
    list(linkage_trees(x, [np.arange(4), np.arange(4, 24)], [1, 10], settings=settings))
    assert reports[0].startswith("0 of 3 merges, ")
    assert reports[-1].startswith("3 of 3 merges, ")


def test_blocks_that_do_not_fit_are_halved_down_to_an_error(monkeypatch):
    x = make_rows("uniform", 400, 8, 7)
    expected = complete_linkage(x, 300)
    tried = []

    def too_large(left, right, limit, block, strip, boxes):
        tried.append(block)
        if block[0] > 300:
            raise torch.OutOfMemoryError
        return near_pairs(left, right, limit, block, strip, boxes)

    monkeypatch.setattr(near, "near_pairs", too_large)
    tree = complete_linkage(x, 300, settings=EngineSettings(block=(2048, 4096)))
    assert np.array_equal(tree.children, expected.children)
    assert tried[:4] == [(2048, 4096), (1024, 2048), (512, 1024), (256, 512)]

    def never_fits(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(near, "near_pairs", never_fits)
    with pytest.raises(MemoryError, match="400 rows do not fit on the GPU"):
        complete_linkage(x, 300)


def test_few_clusters_of_many_rows_are_looked_for_in_blocks_that_fit(monkeypatch):
    """Also the last clusters of a group that has many rows."""
    x = make_rows("clustered", 40, 8, 1).repeat(10, axis=0)
    x += 1e-4 * np.random.default_rng(0).normal(size=x.shape)
    expected = complete_linkage(x)
    plain, failed = near.farthest_pairs, []

    def too_large_at_first(unit, cluster, *rest):
        if len(cluster.unique()) <= engine.SMALL and not failed:
            failed.append(True)
            raise torch.OutOfMemoryError
        return plain(unit, cluster, *rest)

    monkeypatch.setattr(near, "farthest_pairs", too_large_at_first)
    tree = complete_linkage(x, settings=EngineSettings(first_distance=1e-3, pairs_bytes=0))
    assert failed
    assert np.array_equal(tree.children, expected.children)


def test_no_rows_are_no_error():
    assert unit_rows(np.ones((3, 4)), rows=np.empty(0, np.int64)).shape == (0, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_gpu_makes_the_tree_of_the_cpu(kind):
    x = make_rows(kind, 5000, 64, 8)
    trees = [complete_linkage(x, 3000, settings=EngineSettings(device=d)) for d in ("cpu", "cuda")]
    assert np.array_equal(trees[0].children, trees[1].children)
    assert np.array_equal(trees[0].heights, trees[1].heights)

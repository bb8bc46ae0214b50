"""Boxes of rows: no pair within the limit is left out, and trees are those without boxes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from rayred.linkage import EngineSettings, complete_linkage, products
from rayred.linkage import boxes as boxes_module
from rayred.linkage.boxes import Boxes
from rayred.linkage.lowered import FLOAT32_ROUNDING, lowered
from rayred.linkage.near import Clusters, find_near
from rayred.linkage.order import LowestPairs
from rayred.linkage.pairs import cluster_factors, near_pairs, widen
from rayred.linkage.rows import unit_rows
from tests.linkage.example_rows import make_rows

KINDS = ("uniform", "clustered", "collapsed", "line", "equal", "one far")


def rows_of(kind: str, n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(n + d)
    if kind == "line":  # neighbours of nearly equal distance
        angle = np.linspace(0, 3, n)
        return np.stack([np.cos(angle), np.sin(angle), *np.zeros((d - 2, n))], 1)
    if kind == "equal":
        return np.ones((n, d))
    if kind == "one far":
        x = np.ones((n, d)) + 1e-9 * rng.normal(size=(n, d))
        x[n // 2] = -x[n // 2]
        return x
    return make_rows(kind, n, d, 0)


@pytest.fixture
def small_leaves(monkeypatch):
    monkeypatch.setattr(boxes_module, "LEAF_ROWS", 16)


@pytest.mark.usefixtures("small_leaves")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(1, 2), (15, 2), (300, 3), (700, 40)])
def test_leaves_are_a_partition_and_boxes_contain_them(kind, n, d):
    y = unit_rows(rows_of(kind, n, d))
    y = (y - y.mean(0)).float()
    boxes = Boxes.of(y)
    assert sorted(boxes.order.tolist()) == list(range(n))
    assert boxes.edges[0] == 0
    assert boxes.edges[-1] == n
    sizes = np.diff(boxes.edges)
    assert sizes.min() >= 1
    assert sizes.max() <= 16
    assert (boxes.low <= boxes.high).all()
    assert 1 <= boxes.stretch < 1 + 1e-12


@pytest.mark.usefixtures("small_leaves")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rank", [0, 5, 200, 5000])
def test_no_pair_within_the_limit_is_left_out(kind, rank):
    """The limit is the distance of a pair, to the bit."""
    n = 400
    unit = unit_rows(rows_of(kind, n, 24))
    y = (unit - unit.mean(0)).float()
    boxes = Boxes.of(y)
    ordered = unit[boxes.order]
    distance = (ordered.unsqueeze(1) - ordered).square().sum(2) / 2
    limit = float(distance[np.triu_indices(n, 1)].sort().values[rank])
    for first, end in ((0, 1), (3, 77), (64, 80), (n - 1, n), (0, n)):
        places = boxes.near(limit, first, end)
        within = (distance[first:end] <= limit).any(0).nonzero().squeeze(1)
        assert set(within[within >= first].tolist()) <= set(places.tolist())
        assert (places.diff() > 0).all()
        assert places.min() >= first


@pytest.mark.usefixtures("small_leaves")
@pytest.mark.parametrize("seed", range(20))
def test_boxes_as_far_apart_as_their_rows_are_near(seed):
    """On a straight line, the gap of two boxes is the distance of two rows but for rounding."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=30)
    place = np.sort(rng.random(300)) + rng.choice([0, 1, 100])
    y = torch.from_numpy(np.outer(place, direction).astype(np.float32))
    boxes = Boxes.of(y)
    ordered = y[boxes.order].double()
    for edge in boxes.edges[1:-1]:
        before, after = ordered[:edge], ordered[edge : edge + 16]
        squares = (before.unsqueeze(1) - after).square().sum(2)
        row, column = divmod(int(squares.argmin()), len(after))
        limit = float(squares.min()) / 2
        assert edge + column in boxes.near(limit, row, row + 1).tolist()


@pytest.mark.usefixtures("small_leaves")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("block", [(64, 32), (33, 1000), (1000, 7)])
def test_near_pairs_of_boxes_are_those_of_all_products(kind, precision, block):
    n = 500
    unit = unit_rows(rows_of(kind, n, 12))
    rows = torch.arange(n)
    left, right, slack = cluster_factors(unit, rows, rows)
    widen(left, right, slack)
    boxes = Boxes.of(left[:, :-2])
    left, right = left[boxes.order], right[boxes.order]
    if precision == "bfloat16":
        left, right = lowered(left, right, FLOAT32_ROUNDING)
    limit = float(-(left[:50].float() @ right.float().T).quantile(0.02))
    limit = max(limit, 0.0)
    ordered = unit[boxes.order]
    found = set()
    for strip in ((0, 123), (123, n)):
        for i, j in near_pairs(left, right, limit, block, strip, boxes):
            assert (i < j).all()
            pairs = set(zip(i.tolist(), j.tolist(), strict=True))
            assert not pairs & found
            found |= pairs
    distance = (ordered.unsqueeze(1) - ordered).square().sum(2) / 2
    i, j = (distance.triu(1) + torch.full((n, n), 9.0).tril() <= limit).nonzero(as_tuple=True)
    assert set(zip(i.tolist(), j.tolist(), strict=True)) <= found
    every = {
        pair
        for i, j in near_pairs(left, right, limit, block)
        for pair in zip(i.tolist(), j.tolist(), strict=True)
    }
    assert found <= every


@pytest.mark.usefixtures("small_leaves")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep", [0.9, 0.4, 0.02])
@pytest.mark.parametrize("pairs_bytes", [2**31, 200 * 2000])
def test_trees_are_those_without_boxes(monkeypatch, kind, keep, pairs_bytes):
    n = 900
    x = rows_of(kind, n, 16)
    plain = EngineSettings(boxes_from=n + 1)
    in_boxes = EngineSettings(boxes_from=2, pairs_bytes=pairs_bytes, block=(128, 64))
    expected = complete_linkage(x, round(keep * n), settings=plain)
    monkeypatch.setattr(products, "MOST_NEAR", 2.0)
    tree = complete_linkage(x, round(keep * n), settings=in_boxes)
    assert np.array_equal(tree.children, expected.children)
    assert np.array_equal(tree.heights, expected.heights)


@pytest.mark.usefixtures("small_leaves")
@pytest.mark.parametrize("kind", ["uniform", "clustered", "line"])
@pytest.mark.parametrize("most", [60, 150, 10_000])
def test_clusters_of_many_rows_are_each_measured_once(kind, most):
    """Also where pairs are measured in parts, which are not of whole strips of clusters."""
    n, size = 900, 30
    unit = unit_rows(rows_of(kind, n, 16)[np.random.default_rng(0).permutation(n)])
    cluster, names = torch.arange(n) // size * size, torch.arange(0, n, size)
    left, right, slack = cluster_factors(unit, cluster, names)
    widen(left, right, slack)
    boxes = Boxes.of(left[:, :-2], 0.25)
    order = boxes.order
    clusters = Clusters(unit, cluster, names[order], left[order], right[order], 0.0, boxes)
    lowest = LowestPairs(1.999, most)
    assert find_near(clusters, lowest, (8, 8), None, lambda _: None)
    found = lowest.pairs()
    distance = (unit.unsqueeze(1) - unit).square().sum(2) / 2
    k = n // size
    farthest = distance.view(k, size, k, size).amax((1, 3))
    measured = ((float(farthest[a, b]), a * size, b * size) for a, b in combinations(range(k), 2))
    expected = sorted(one for one in measured if one[0] <= 1.999)
    pairs = sorted(zip(found.distance.tolist(), found.a.tolist(), found.b.tolist(), strict=True))
    assert len(pairs) == len(expected) if most > 1000 else most // 2 <= len(pairs) <= most
    np.testing.assert_allclose([p[0] for p in pairs], [e[0] for e in expected[: len(pairs)]], 1e-12)
    assert [p[1:] for p in pairs] == [e[1:] for e in expected[: len(pairs)]]


def test_boxes_are_used_where_many_are_far_apart():
    """Ten directions on a sphere of 64 dimensions, and rows around them; and no such directions."""
    rng = np.random.default_rng(0)
    n = 20_000
    near = rng.normal(size=(10, 64))[rng.integers(0, 10, n)] + 0.1 * rng.normal(size=(n, 64))
    for x, used in ((near, True), (rng.normal(size=(n, 64)), False)):
        unit = unit_rows(x)
        boxes = Boxes.of((unit - unit.mean(0)).float())
        share = boxes.share_near(0.01 if used else 0.4, 2048)
        assert (share <= products.MOST_NEAR) == used

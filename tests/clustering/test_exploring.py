"""What is kept of a group at any cut, and what is near it, against slow and obvious references."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rayred.clustering import exploring
from rayred.clustering.exploration import Exploration, load_exploration, save_exploration
from rayred.clustering.exploring import centres_of_merges, explore, shown_part
from rayred.clustering.groups import grow_trees, kept_rows, redundant_groups
from rayred.clustering.standing import highest_of_groups
from rayred.clustering.trees import ClassTrees
from rayred.config import Linkage


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of three classes, some of them equal, some all zero."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, 5)).astype(np.float32)
    x[40:60] = x[:20]
    x[[7, 8]] = 0
    return x, generator.permutation(np.repeat([0, 1, 2], [70, 45, 5]))


def grown(x: np.ndarray, labels: np.ndarray, fraction: float) -> ClassTrees:
    return grow_trees(x, labels, fraction, Linkage(), zero_rows="apart")


def kept_at(found: Exploration, counts: list[int]) -> np.ndarray:
    """Return what is kept at a cut, merge by merge."""
    kept, first = [], 0
    for rows, tree, count in zip(found.trees.members, found.trees.trees, counts, strict=True):
        here = {row: int(image) for row, image in enumerate(rows)}
        for merge, pair in enumerate(tree.children[: len(rows) - count].tolist()):
            for child in pair:
                del here[child]
            here[len(rows) + merge] = int(found.kept[first + merge])
        kept += here.values()
        first += len(tree.children)
    return np.sort(kept)


@pytest.mark.parametrize("fraction", [1.0, 0.93, 0.8, 0.5, 0.02])
def test_what_is_kept_at_every_cut_is_what_the_subsets_keep(rows, fraction):
    x, labels = rows
    found = explore(x, grown(x, labels, 0.01))
    expected = redundant_groups(x, labels, [fraction], zero_rows="apart").kept[fraction]
    sizes = np.bincount(labels)
    counts = [max(1, int(fraction * size + 0.5)) for size in sizes]
    assert np.array_equal(kept_at(found, counts), expected)


def test_parts_change_nothing(rows, monkeypatch):
    x, labels = rows
    trees = grown(x, labels, 0.01)
    expected = explore(x, trees)
    monkeypatch.setattr(exploring, "NUMBERS_AT_A_TIME", 150)
    found = explore(x, trees)
    assert np.array_equal(found.kept, expected.kept)
    assert_allclose(found.distances, expected.distances, atol=1e-6)


def test_the_row_of_the_highest_value_is_kept(rows):
    x, labels = rows
    trees = grown(x, labels, 0.3)
    value = np.random.default_rng(1).integers(0, 4, len(x))
    found = explore(x, trees, value)
    counts = [tree.n_clusters + 3 for tree in trees.trees]
    expected = highest_of_groups(trees.groups_at(counts), value)
    assert np.array_equal(kept_at(found, counts), expected)


def test_neighbours_are_the_nearest_of_the_class_and_only_merged_rows_have_any(rows):
    x, labels = rows
    trees = grown(x, labels, 0.8)
    found = explore(x, trees)
    merged = set()
    for members, tree in zip(trees.members, trees.trees, strict=True):
        merged |= {int(members[node]) for node in tree.children.ravel() if node < len(members)}
    unit = x.astype(np.float64)
    length = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = np.where(length > 0, unit / np.where(length > 0, length, 1), 0)
    for row in range(len(x)):
        has = found.neighbours[row] >= 0
        if row not in merged:
            assert not has.any()
            continue
        others = np.setdiff1d(np.flatnonzero(labels == labels[row]), [row])
        distance = 1 - unit[others] @ unit[row]
        if not unit[row].any():
            distance = np.where(unit[others].any(axis=1), 1.0, 0.0)
        nearest = np.sort(distance)[: exploring.NEIGHBOURS]
        assert_allclose(found.distances[row][has], nearest, atol=1e-6)
        assert not np.isin(found.neighbours[row][has], [row]).any()
        assert (labels[found.neighbours[row][has]] == labels[row]).all()


def test_the_map_spreads_a_class_along_what_differs_most_in_it():
    angle = np.linspace(0, 1, 30)
    x = np.stack([np.cos(angle), np.sin(angle), np.full(30, 0.01)], axis=1)
    labels = np.zeros(30, int)
    places = explore(x, grown(x, labels, 0.5)).places
    along = places[:, 0] * np.sign(places[-1, 0])
    assert (np.diff(along) > 0).all()
    assert abs(places[:, 0].mean()) < 1e-6


def test_classes_of_one_or_two_rows_and_one_column_have_a_map():
    x = np.array([[1.0], [2.0], [-1.0]])
    labels = np.array([0, 0, 1])
    found = explore(x, grown(x, labels, 0.01))
    assert found.places.shape == (3, 2)
    assert np.isfinite(found.places).all()
    assert found.kept.tolist() == [0]


def test_too_much_to_show_is_cut_at_a_height(rows, monkeypatch):
    x, labels = rows
    trees = grown(x, labels, 0.01)
    monkeypatch.setattr(exploring, "MOST_ROWS", 60)
    found = explore(x, trees)
    assert 0 < len(found.rows) <= 60
    highest_shown = max(tree.heights[-1] for tree in found.trees.trees if len(tree.heights))
    for tree, part in zip(trees.trees, found.trees.trees, strict=True):
        assert part == tree.up_to(highest_shown)
    monkeypatch.setattr(exploring, "MOST_MEMBERS", 5)
    assert sum((tree.heights > 0).sum() for tree in shown_part(trees, 2.0, 5)[0].trees) <= 2
    monkeypatch.setattr(exploring, "MOST_MEMBERS", 1)
    part, reach = shown_part(trees, 2.0, 5)
    assert not any((tree.heights > 0).any() for tree in part.trees)
    assert reach < min(tree.heights[tree.heights > 0].min() for tree in trees.trees)


def test_it_is_read_as_it_was_written(rows, tmp_path):
    x, labels = rows
    found = explore(x, grown(x, labels, 0.5))
    save_exploration(tmp_path, found)
    again = load_exploration(tmp_path)
    assert again.trees.trees == found.trees.trees
    assert (again.reach, again.whole) == (found.reach, found.whole)
    for name in ("rows", "kept", "neighbours", "distances", "places"):
        assert np.array_equal(getattr(again, name), getattr(found, name), equal_nan=True)


def test_no_merge_keeps_nothing():
    trees = grown(np.eye(3), np.zeros(3, int), 1.0)
    assert centres_of_merges(trees, np.eye(3)).shape == (0,)
    assert kept_rows(np.eye(3), trees, [[3]], Linkage())[0].tolist() == [0, 1, 2]


def test_thousands_of_equal_rows_are_shown_and_the_lowest_is_kept():
    x = np.ones((9000, 2))
    x[8990:, 1] = np.arange(2, 12)
    found = explore(x, grown(x, np.zeros(9000, int), 0.0001))
    assert found.whole
    assert len(found.kept) == 8999
    assert kept_at(found, [11])[0] == 0
    assert len(kept_at(found, [11])) == 11

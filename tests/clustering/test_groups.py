"""Redundant groups against the linkage of every class by itself."""

from __future__ import annotations

import numpy as np
import pytest

from rayred.clustering.groups import grow_trees, redundant_groups
from rayred.clustering.trees import kept_images
from rayred.config import Linkage
from rayred.linkage import complete_linkage, representatives


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(200, 8)).astype(np.float32), rng.integers(0, 3, 200)


def test_one_row_of_every_cluster_of_every_class_is_kept(rows):
    x, labels = rows
    found = redundant_groups(x, labels, [0.7, 0.3])
    for fraction, kept in found.kept.items():
        expected = []
        for label in range(3):
            members = np.flatnonzero(labels == label)
            count = kept_images(len(members), fraction)
            clusters = complete_linkage(x[members], count).labels(count)
            expected += members[representatives(x[members], clusters)].tolist()
            mine = found.trees.groups(fraction)[members]
            assert len(np.unique(mine)) == count
            assert np.array_equal(mine - mine.min(), clusters)
        assert kept.tolist() == sorted(expected)
        assert len(np.unique(found.trees.groups(fraction)[kept])) == len(kept)


def test_classes_may_be_named_by_text(rows):
    x, labels = rows
    names = np.array(["cat", "dog", "eel"])[labels]
    by_number, by_name = (redundant_groups(x, given, [0.5]) for given in (labels, names))
    assert np.array_equal(by_number.kept[0.5], by_name.kept[0.5])


def test_trees_of_an_earlier_call_serve_for_other_fractions(rows):
    x, labels = rows
    trees = grow_trees(x, labels, 0.3, Linkage())
    again = redundant_groups(x, labels, [0.6], trees=trees)
    assert again.trees is trees
    assert np.array_equal(again.kept[0.6], redundant_groups(x, labels, [0.6]).kept[0.6])
    assert redundant_groups(x, labels, [], trees=trees).kept == {}


def test_the_result_does_not_depend_on_the_map(rows):
    x, labels = rows

    def backwards(function, tasks):
        return [function(task) for task in reversed(list(tasks))]

    one = redundant_groups(x, labels, [0.5])
    other = redundant_groups(x, labels, [0.5], map=backwards, workers=3)
    assert np.array_equal(one.kept[0.5], other.kept[0.5])
    for ours, theirs in zip(one.trees.trees, other.trees.trees, strict=True):
        assert np.array_equal(ours.children, theirs.children)


def test_a_class_in_strips_has_the_tree_of_a_whole_one():
    x = np.random.default_rng(1).normal(size=(1500, 16)).astype(np.float32)
    labels = np.repeat([0, 1], [200, 1300])
    strips = grow_trees(x, labels, 0.4, Linkage(), workers=2, device="cpu", spread_rows=500)
    whole = grow_trees(x, labels, 0.4, Linkage(), device="cpu")
    for ours, theirs in zip(strips.trees, whole.trees, strict=True):
        assert np.array_equal(ours.children, theirs.children)
        assert np.array_equal(ours.heights, theirs.heights)


def test_a_zero_row_and_a_fraction_out_of_range_raise():
    x = np.ones((4, 2), np.float32)
    x[2] = 0
    with pytest.raises(ValueError, match=r"row 2 \(class 1\) is all zero"):
        redundant_groups(x, [0, 1, 1, 0], [0.5])
    with pytest.raises(ValueError, match=r"expected a number in \(0, 1\]"):
        redundant_groups(x, [0, 1, 1, 0], [1.5])


def test_near_copies_that_were_planted_are_the_groups():
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], 40)
    originals = rng.normal(size=(120, 32))
    copied = np.concatenate([np.flatnonzero(labels == label)[:10] for label in range(3)])
    copies = originals[copied] + rng.normal(scale=1e-3, size=(30, 32))
    x, of = np.concatenate([originals, copies]), np.concatenate([labels, labels[copied]])
    found = redundant_groups(x, of, [0.8])
    groups = found.trees.groups(0.8)
    assert np.array_equal(groups[120:], groups[copied])
    assert len(np.unique(groups)) == 120
    # Both members of a pair are equally close to their centre: the lower row is kept.
    assert found.kept[0.8].tolist() == list(range(120))

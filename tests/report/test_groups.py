import numpy as np
import pytest

from rayred.clustering.groups import RedundantGroups, redundant_groups
from rayred.clustering.trees import ClassTrees
from rayred.linkage import Tree
from rayred.report.groups import choose_groups, group_sizes


@pytest.fixture
def groups_and_embeddings() -> tuple[RedundantGroups, np.ndarray]:
    """Class 0 has a group of four, class 1 none."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(16, 5)).astype(np.float32)
    embeddings[[2, 4, 6, 8]] = embeddings[2] + 0.05 * rng.normal(size=(4, 5))
    labels = np.repeat([0, 1], [10, 6])
    return redundant_groups(embeddings, labels, [0.7]), embeddings


def test_the_largest_group_of_each_class_has_the_kept_image_first(groups_and_embeddings):
    found, embeddings = groups_and_embeddings
    found_groups = choose_groups(found.trees, found.kept[0.7], 0.7, "largest", 5)
    group = next(g for g in found_groups if g.label == 0)
    assert sorted(group.images.tolist()) == [2, 4, 6, 8]
    unit = embeddings[group.images]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    assert np.argmax(unit @ unit.mean(0)) == 0


def test_sizes_add_up_to_the_class(groups_and_embeddings):
    found, _ = groups_and_embeddings
    sizes = group_sizes(found.trees, 0.7)
    assert [s.sum() for s in sizes] == [10, 6]
    assert [len(s) for s in sizes] == [7, 4]


def test_of_a_subset_chosen_otherwise_any_number_of_a_group_is_kept(groups_and_embeddings):
    found, _ = groups_and_embeddings
    for kept, first in (([1, 4, 8], [4, 8]), ([0, 1], []), ([2, 3], [2])):
        groups = choose_groups(found.trees, np.array(kept), 0.7, "largest", 5)
        chosen = next(g for g in groups if g.label == 0)
        assert chosen.kept == len(first)
        assert chosen.images[: len(first)].tolist() == first


@pytest.fixture
def trees() -> ClassTrees:
    """Class 0: groups of 2, 3 and 2 images; class 1: one of 2; class 2: a single image."""
    zero = Tree(8, np.array([[0, 1], [2, 3], [5, 6], [4, 9]]), np.array([0.1, 0.2, 0.25, 0.4]))
    one = Tree(2, np.array([[0, 1]]), np.array([0.3]))
    two = Tree(1, np.empty((0, 2), np.int64), np.empty(0))
    members = (np.arange(8), np.array([9, 11]), np.array([12]))
    return ClassTrees(members, (zero, one, two))


def chosen(trees: ClassTrees, choice, count: int, **seed: int) -> list[tuple[int, list[int]]]:
    """Return class and members of the groups at a half of every class."""
    groups = choose_groups(trees, np.empty(0, np.int64), 0.5, choice, count, **seed)
    return [(group.label, sorted(group.images.tolist())) for group in groups]


def test_groups_are_chosen_by_size_and_by_height(trees):
    one = Tree(2, trees.trees[1].children * 0 + [0, 1], trees.trees[1].heights)
    trees = ClassTrees(
        (trees.members[0], np.array([9, 11]), trees.members[2]),
        (trees.trees[0], one, trees.trees[2]),
    )
    assert chosen(trees, "largest", 1) == [(0, [2, 3, 4])]
    assert chosen(trees, "largest", 2) == [(0, [2, 3, 4]), (1, [9, 11])]
    assert chosen(trees, "tightest", 1) == [(0, [0, 1])]
    assert chosen(trees, "tightest", 9) == [(0, [0, 1]), (0, [5, 6]), (1, [9, 11]), (0, [2, 3, 4])]
    assert chosen(trees, "loosest", 2) == [(0, [2, 3, 4]), (1, [9, 11])]
    assert chosen(trees, "loosest", 0) == []
    assert len(chosen(trees, "random", 9)) == 4
    assert chosen(trees, "random", 3, seed=1) == chosen(trees, "random", 3, seed=1)


@pytest.mark.parametrize("choice", ["largest", "tightest", "loosest", "random"])
def test_groups_are_those_of_the_cut_with_the_height_of_their_last_merge(choice):
    rng = np.random.default_rng(1)
    found = redundant_groups(rng.normal(size=(60, 3)), np.repeat([0, 1, 2], 20), [0.4])
    labels = found.trees.groups(0.4)
    groups = choose_groups(found.trees, found.kept[0.4], 0.4, choice, 99)
    sizes = np.bincount(labels)
    assert len(groups) == (sizes > 1).sum()
    for group in groups:
        (label,) = set(labels[group.images])
        assert len(group.images) == sizes[label]
        assert group.kept == 1
        tree = found.trees.trees[group.label]
        below = [tree.labels(20 - merges) for merges in range(1, 13)]
        rows = np.searchsorted(found.trees.members[group.label], group.images)
        together = next(m for m, one in enumerate(below) if len(set(one[rows])) == 1)
        assert group.height == tree.heights[together]

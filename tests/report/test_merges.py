"""The merges of all trees at one height, and share by share."""

from __future__ import annotations

import numpy as np
import pytest

from rayred.clustering.trees import ClassTrees
from rayred.linkage import Tree
from rayred.report.merges import common_height, heights_at, shares_at


def chain(rows: int, heights: list[float]) -> Tree:
    """Return a tree that adds one row after another to a single group."""
    children = [[rows + merge - 1 if merge else 0, merge + 1] for merge in range(len(heights))]
    return Tree(rows, np.array(children, np.int64).reshape(-1, 2), np.array(heights))


def class_trees(*trees: Tree) -> ClassTrees:
    ends = np.cumsum([tree.n_rows for tree in trees])
    return ClassTrees(
        tuple(np.arange(end - t.n_rows, end) for end, t in zip(ends, trees, strict=True)), trees
    )


def test_the_common_height_is_the_highest_that_all_trees_reach():
    trees = class_trees(chain(10, [0.1, 0.2, 0.3]), chain(10, [0.05, 0.1, 0.15]))
    assert common_height(trees, 0.7) == 0.15
    assert common_height(trees, 0.9) == 0.1  # that of the cut, which both trees reach
    np.testing.assert_allclose(shares_at(trees, 0.15), [0.1, 0.3])


def test_trees_that_end_before_the_height_have_no_share():
    trees = class_trees(chain(10, [0.1, 0.2]), chain(3, []), chain(1, []), chain(2, [0.01]))
    height = common_height(trees, 0.9)
    assert height == 0.1
    np.testing.assert_allclose(shares_at(trees, height), [0.1, np.nan, 0, 0.5])


def test_without_a_merge_there_is_no_common_height():
    assert common_height(class_trees(chain(3, []), chain(1, [])), 0.9) is None


@pytest.mark.parametrize("fraction", [0.9, 0.55, 0.5])
def test_heights_by_share_are_those_of_the_cut(fraction):
    trees = class_trees(chain(10, [0.1, 0.2, 0.3, 0.4, 0.5]))
    (height,) = heights_at(trees, [1 - fraction])[0]
    merged = 10 - int(fraction * 10 + 0.5)
    np.testing.assert_equal(height, 0.1 * merged if merged else np.nan)


def test_heights_are_unknown_before_the_first_merge_and_after_the_last():
    trees = class_trees(chain(10, [0.1, 0.2]), chain(1, []))
    found = heights_at(trees, [0.0, 0.1, 0.2, 0.3, 1.0])
    np.testing.assert_equal(found, [[np.nan, 0.1, 0.2, np.nan, np.nan], [np.nan] * 5])


def test_merges_are_known_of_trees_that_end_below_a_distance():
    empty = np.empty((0, 2), np.int64)
    trees = ClassTrees(
        (np.arange(3), np.arange(3, 5)),
        (Tree(3, np.array([[0, 1]]), np.array([0.1])), Tree(2, empty, np.empty(0))),
    )
    assert np.isnan(shares_at(trees, 0.2)).all()
    assert shares_at(trees, 0.2, known=0.2).tolist() == [pytest.approx(1 / 3), 0.0]

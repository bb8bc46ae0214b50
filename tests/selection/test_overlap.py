"""How alike choices are, against counts by hand and exact expectations."""

from __future__ import annotations

import doctest
import json
import warnings
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import hypergeom

from rayred.clustering.groups import redundant_groups
from rayred.selection import overlap
from rayred.selection.overlap import (
    adjusted_rand,
    jaccard,
    jaccard_of_random,
    load_overlaps,
    overlaps,
)
from tests.selection.examples import rows


def test_jaccard_is_the_share_of_all_chosen_images_that_both_have():
    a, b = np.array([0, 2, 5]), np.array([2, 5, 7])
    assert jaccard(a, b) == jaccard(b, a) == 2 / 4
    assert jaccard(a, a) == 1
    assert jaccard(a, np.array([1, 3])) == 0


def exact(sizes: list[int], kept: list[int]) -> float:
    """The expectation, from the distribution of how many images two random subsets share."""
    shared = np.ones(1)
    for n, m in zip(sizes, kept, strict=True):
        shared = np.convolve(shared, hypergeom(n, m, m).pmf(np.arange(m + 1)))
    common = np.arange(len(shared))
    return float((shared * common / (2 * sum(kept) - common)).sum())


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [([2], [1]), ([10, 10], [5, 5]), ([30, 7, 1], [24, 6, 1]), ([200, 300], [20, 30])],
)
def test_that_of_random_subsets_is_the_expectation_up_to_less_than_an_image(sizes, kept):
    found = jaccard_of_random(sizes, kept)
    assert found <= exact(sizes, kept) + 1e-12
    assert exact(sizes, kept) - found <= 0.5 / sum(kept)


def test_that_of_random_subsets_of_one_fraction_is_by_the_fraction():
    assert jaccard_of_random([100, 50], [80, 40]) == pytest.approx(0.8 / (2 - 0.8))
    assert jaccard_of_random([100, 50], [100, 50]) == 1


def test_adjusted_rand_is_the_mean_over_classes_weighted_by_their_sizes():
    members = [np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7, 8, 9, 10, 11])]
    a = np.array([0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
    b = np.array([5, 4, 5, 4, 6, 6, 6, 6, 7, 7, 7, 7])
    # In the first class both have two pairs and none in common: (0 - 2·2/6) / (2 - 2·2/6) = -1/2.
    assert adjusted_rand(a, b, members) == pytest.approx((4 * -0.5 + 8 * 1) / 12)
    assert adjusted_rand(a, a, members) == 1
    # A class in which nothing is merged says nothing.
    alone = np.arange(100, 105)
    both = [*members, np.arange(len(a), len(a) + 5)]
    longer = np.concatenate([a, alone]), np.concatenate([b, alone[::-1]])
    assert adjusted_rand(*longer, both) == adjusted_rand(a, b, members)


def test_groups_of_single_images_are_equal_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert adjusted_rand(np.arange(30), np.arange(30)[::-1], [np.arange(30)]) == 1


def test_every_fraction_has_the_mean_and_range_over_all_pairs():
    labels = np.repeat([0, 1], [40, 25])
    choices = [
        redundant_groups(np.concatenate([rows(40, seed), rows(25, seed + 9)]), labels, [0.8, 0.4])
        for seed in (0, 1, 2)
    ]
    found = overlaps(choices)
    assert [one.fraction for one in found] == [0.8, 0.4]
    for one in found:
        kept = [choice.kept[one.fraction] for choice in choices]
        values = [jaccard(kept[i], kept[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        assert one.jaccard.mean == pytest.approx(np.mean(values))
        assert (one.jaccard.lowest, one.jaccard.highest) == (min(values), max(values))
        counts = [int(one.fraction * 40 + 0.5), int(one.fraction * 25 + 0.5)]
        assert one.jaccard_of_random == jaccard_of_random([40, 25], counts)
        assert one.adjusted_rand.lowest <= one.adjusted_rand.mean <= one.adjusted_rand.highest
    same = overlaps([choices[0], choices[0]])
    assert all(one.jaccard.mean == one.adjusted_rand.mean == 1 for one in same)
    stored = json.loads(json.dumps([asdict(one) for one in found]))
    assert load_overlaps(stored) == found
    with pytest.raises(ValueError, match="fraction"):
        load_overlaps([{"share": 0.5}])


def test_examples_print_what_they_say():
    assert doctest.testmod(overlap).failed == 0

"""Accuracies of single classes against counts by hand."""

import doctest

import numpy as np
import pytest

from rayred.results import classes
from rayred.results.classes import class_accuracies, lowest
from rayred.results.trial import TestSplit as Split

TEST = Split((2, 4, 0, 1), ("cat", "dog", "eel", "fox"), np.array([1, 0, 1, 3, 1, 0, 1]))


def test_each_class_has_the_share_of_its_images_that_are_right():
    correct = np.array([[1, 1, 0, 1, 0, 0, 0], [1, 1, 1, 0, 1, 1, 0]], dtype=bool)
    found = class_accuracies(correct, TEST)
    np.testing.assert_array_equal(found, [[0.5, 0.25, np.nan, 1.0], [1.0, 0.75, np.nan, 0.0]])
    np.testing.assert_array_equal(class_accuracies(correct[0], TEST), found[0])


def test_the_lowest_class_is_one_with_images_and_of_equal_ones_the_first():
    values = np.array([0.5, 0.25, np.nan, 0.25])
    assert lowest(values, TEST) == ("dog", 0.25)


def test_without_the_class_of_each_image_nothing_is_known():
    assert class_accuracies(np.ones(7, dtype=bool), Split((2, 4, 0, 1))) is None


def test_images_of_another_number_are_refused():
    with pytest.raises(ValueError, match="of 8 test images, not of 7"):
        class_accuracies(np.ones((3, 8), dtype=bool), TEST)


def test_examples_print_what_they_say():
    assert doctest.testmod(classes).failed == 0

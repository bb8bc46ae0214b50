import numpy as np

from rayred.selection import Candidates
from rayred.selection.el2n import select_el2n


def test_the_highest_scores_of_all_classes_are_kept_the_lowest_row_of_equal_ones():
    scores = np.array([0.5, 0.9, 0.5, 0.1, 0.8, 0.5, 0.2, 0.5])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    candidates = Candidates(labels, np.ones((8, 1)), scores={"el2n": scores})
    rng = np.random.default_rng(0)
    assert select_el2n(candidates, 0.5, rng).tolist() == [0, 1, 2, 4]
    assert select_el2n(candidates, 0.75, rng).tolist() == [0, 1, 2, 4, 5, 7]


def test_an_easy_class_keeps_its_hardest_image():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.2])
    labels = np.array([0, 0, 0, 0, 1, 1])
    candidates = Candidates(labels, np.ones((6, 1)), scores={"el2n": scores})
    assert select_el2n(candidates, 0.5, np.random.default_rng(0)).tolist() == [0, 1, 5]

import numpy as np

from rayred.selection import Candidates


def test_the_best_image_of_a_class_stays_in_place_of_the_last_of_the_others():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    candidates = Candidates(labels, np.ones((7, 1)))
    order = np.array([0, 1, 2, 3, 5, 4, 6])
    # By the order alone, 0, 1, 2 and 3 would be kept, and neither class 1 nor class 2.
    assert candidates.counts(0.5) == [2, 1, 1]
    assert candidates.first(order, 0.5).tolist() == [0, 1, 5, 6]
    assert candidates.first(order, 0.1).tolist() == [0, 5, 6]
    assert candidates.first(order, 1.0).tolist() == list(range(7))


def test_without_a_lost_class_the_first_of_the_order_are_kept():
    candidates = Candidates(np.array([0, 1, 0, 1, 0, 1]), np.ones((6, 1)))
    order = np.array([4, 5, 2, 0, 1, 3])
    assert candidates.first(order, 0.6).tolist() == [0, 2, 4, 5]


def numbers_to_keep(x, count, _, scores):
    assert (x[:, 0] == scores).all()
    return np.argsort(scores)[:count]


def test_a_function_gets_the_scores_of_its_class():
    scores = np.array([3.0, 2.0, 1.0, 0.0, 5.0, 4.0])
    candidates = Candidates(np.array([0, 1, 0, 1, 0, 1]), scores[:, None], scores={"a": scores})
    kept = candidates.choose(numbers_to_keep, 0.7, np.random.default_rng(0), scores="a")
    assert kept.tolist() == [0, 1, 2, 3]

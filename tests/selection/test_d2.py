import numpy as np
import pytest

from rayred.selection.d2 import FORWARD, NEIGHBOURS, REVERSE, nearest, pass_messages
from tests.selection.examples import rows


def by_definition(scores, neighbours, squares, count):
    n = len(scores)
    values = [
        scores[i]
        + sum(
            np.exp(-FORWARD * d) * scores[j] for j, d in zip(neighbours[i], squares[i], strict=True)
        )
        for i in range(n)
    ]
    chosen = []
    while len(chosen) < count:
        best = max((i for i in range(n) if i not in chosen), key=lambda i: values[i])
        chosen.append(best)
        for j, d in zip(neighbours[best], squares[best], strict=True):
            values[j] -= np.exp(-REVERSE * d) * values[best]
    return chosen


@pytest.mark.parametrize("count", [1, 10, 39])
@pytest.mark.parametrize("seed", range(3))
def test_messages_are_passed_as_in_the_paper(seed, count):
    scores = np.random.default_rng(seed).uniform(0, 1.4, 40)
    neighbours, squares = nearest(rows(40, seed))
    found = pass_messages(scores, neighbours, squares, count)
    assert found.tolist() == by_definition(scores, neighbours, squares, count)


@pytest.mark.parametrize("n", [2, 5, 40])
def test_neighbours_are_the_nearest_others(n):
    x = rows(n)
    neighbours, squares = nearest(x)
    assert neighbours.shape == squares.shape == (n, min(NEIGHBOURS, n - 1))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        others.sort(key=lambda j: float(((x[i] - x[j]) ** 2).sum()))
        assert neighbours[i].tolist() == others[:NEIGHBOURS]
        expected = ((x[i] - x[others[:NEIGHBOURS]]) ** 2).sum(axis=1)
        np.testing.assert_allclose(squares[i], expected, rtol=0, atol=1e-12)


def test_no_row_is_its_own_neighbour_also_among_equal_ones():
    neighbours, _ = nearest(np.tile([[0.6, 0.8]], (30, 1)))
    assert (neighbours != np.arange(30)[:, None]).all()


def test_of_two_similar_images_the_harder_one_is_kept():
    scores = np.array([1.0, 0.9, 0.5])
    neighbours = np.array([[1], [0], [1]])
    squares = np.array([[0.0], [0.0], [2.0]])
    assert pass_messages(scores, neighbours, squares, 2).tolist() == [0, 2]

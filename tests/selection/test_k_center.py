import numpy as np
import pytest

from rayred.selection.k_center import farthest_first
from tests.selection.examples import rows


def by_definition(x, count):
    chosen = [int(np.argmin(np.linalg.norm(x - x.mean(axis=0), axis=1)))]
    while len(chosen) < count:
        distances = [
            -1.0 if i in chosen else min(float(np.linalg.norm(x[i] - x[j])) for j in chosen)
            for i in range(len(x))
        ]
        chosen.append(int(np.argmax(distances)))
    return chosen


@pytest.mark.parametrize("count", [1, 7, 39])
@pytest.mark.parametrize("seed", range(3))
def test_each_is_the_farthest_from_those_before_it(count, seed):
    x = rows(40, seed)
    assert farthest_first(x, count).tolist() == by_definition(x, count)


def test_equal_rows_come_last_the_lowest_first():
    x = rows(12)
    twice = np.concatenate([x, x])
    order = farthest_first(twice, 20).tolist()
    assert sorted(order[:12]) == list(range(12))
    assert order[12:] == list(range(12, 20))

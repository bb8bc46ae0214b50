import numpy as np
import pytest

from rayred.selection.herding import herd
from tests.selection.examples import rows


def by_definition(x, count):
    mean, chosen = x.mean(axis=0), []
    while len(chosen) < count:
        left = [i for i in range(len(x)) if i not in chosen]
        errors = [np.linalg.norm(mean - x[[*chosen, i]].mean(axis=0)) for i in left]
        chosen.append(left[int(np.argmin(errors))])
    return chosen


@pytest.mark.parametrize("count", [1, 7, 39])
@pytest.mark.parametrize("seed", range(3))
def test_each_brings_the_mean_of_the_chosen_closest_to_the_mean_of_all(count, seed):
    x = rows(40, seed)
    assert herd(x, count).tolist() == by_definition(x, count)


def test_of_equal_rows_the_lowest_is_first():
    assert herd(np.tile([[0.6, 0.8]], (9, 1)), 6).tolist() == list(range(6))

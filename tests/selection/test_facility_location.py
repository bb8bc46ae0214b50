import itertools

import numpy as np
import pytest

from rayred.selection import facility_location
from rayred.selection.facility_location import cover
from tests.selection.examples import rows


def worth(x, chosen):
    return sum(max(1 + float(row @ x[j]) for j in chosen) for row in x)


def by_definition(x, count):
    chosen = []
    while len(chosen) < count:
        left = [i for i in range(len(x)) if i not in chosen]
        chosen.append(max(left, key=lambda i: worth(x, [*chosen, i])))
    return chosen


@pytest.mark.parametrize("block", [1, 16, 100])
@pytest.mark.parametrize("seed", range(2))
def test_each_adds_most_however_many_are_looked_at_together(seed, block, monkeypatch):
    monkeypatch.setattr(facility_location, "BLOCK", block)
    x = rows(24, seed)
    assert cover(x, 15).tolist() == by_definition(x, 15)


def test_the_result_is_as_good_as_promised():
    x = rows(12)
    best = max(worth(x, chosen) for chosen in itertools.combinations(range(12), 3))
    assert worth(x, cover(x, 3)) >= (1 - 1 / np.e) * best


def test_equal_rows_come_last_the_lowest_first():
    x = rows(12)
    order = cover(np.concatenate([x, x]), 20).tolist()
    assert sorted(order[:12]) == list(range(12))
    assert order[12:] == list(range(12, 20))

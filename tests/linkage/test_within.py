"""Pairs within a distance, against the distances of all pairs."""

import numpy as np
import pytest
import torch

from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import as_unit_rows
from rayred.linkage.within import pairs_within
from tests.linkage.example_rows import make_rows


@pytest.mark.parametrize("kind", ["clustered", "ties"])
@pytest.mark.parametrize("block", [(32, 64), (7, 5), None])
def test_all_pairs_within_the_distance_are_found_once(kind, block):
    unit = torch.from_numpy(as_unit_rows(make_rows(kind, 300, 10, 6)))
    a, b = np.triu_indices(300, 1)
    distance = pair_distances(unit, torch.from_numpy(a), torch.from_numpy(b)).numpy()
    limit = float(np.quantile(distance, 0.03))  # the distance of a pair, which is still within
    wanted = {
        (int(i), int(j), d) for i, j, d in zip(a, b, distance.tolist(), strict=True) if d <= limit
    }
    shares: list[float] = []
    found = [
        one
        for i, j, d in pairs_within(unit, limit, block=block, report=shares.append)
        for one in zip(i.tolist(), j.tolist(), d.tolist(), strict=True)
    ]
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_one_row_has_no_pair():
    assert list(pairs_within(torch.ones(1, 1, dtype=torch.float64), 2.0)) == []

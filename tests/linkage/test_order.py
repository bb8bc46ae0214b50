"""The order of pairs by (d, i, j), the lowest of many pairs, and the memory that they take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rayred.linkage import EngineSettings, complete_linkage, engine, linkage_trees
from rayred.linkage.dense import BYTES_A_PAIR
from rayred.linkage.farthest import FarthestPairs
from rayred.linkage.order import LowestPairs, ascending

PAIRS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 5e-324, 0.25, 0.5, 1.0]), st.integers(0, 6), st.integers(7, 12)
    ),
    max_size=60,
    unique_by=lambda pair: pair[1:],
)


def as_pairs(pairs: list[tuple[float, int, int]]) -> FarthestPairs:
    d = torch.tensor([pair[0] for pair in pairs], dtype=torch.float64)
    i, j = (torch.tensor([pair[side] for pair in pairs], dtype=torch.int64) for side in (1, 2))
    return FarthestPairs(i, j, d, i, j)


@given(PAIRS)
def test_ascending_is_by_distance_then_rows(pairs):
    given_pairs = as_pairs(pairs)
    order = ascending(given_pairs.distance, given_pairs.i, given_pairs.j)
    assert [pairs[place] for place in order.tolist()] == sorted(pairs)


@given(PAIRS, st.integers(2, 20), st.integers(1, 10), st.sampled_from([0.0, 0.5, 4.0]))
@settings(max_examples=200)
def test_what_is_kept_are_all_pairs_up_to_the_highest_kept(pairs, most, part, limit):
    lowest = LowestPairs(limit, most)
    lowest.add(FarthestPairs.none(torch.empty(0, dtype=torch.float64)))
    for first in range(0, len(pairs), part):
        lowest.add(as_pairs(pairs[first : first + part]))
    found = lowest.pairs()
    kept = sorted(zip(*(found[place].tolist() for place in (2, 3, 4)), strict=True))
    within = sorted(pair for pair in pairs if pair[0] <= limit)
    assert kept == within[: len(kept)]
    assert len(kept) <= most
    if lowest.cut is None:
        assert kept == within
    else:
        assert len(kept) >= most // 2
        assert lowest.limit <= limit


@pytest.mark.parametrize("block", [None, (16, 16)])
def test_no_more_pairs_are_in_memory_than_fit(monkeypatch, block):
    """300 one-hot rows have 44,850 pairs at one distance; 2,000 may be held."""
    measured = []
    added = LowestPairs.add

    def count(self, found):
        measured.append(len(found.a))
        added(self, found)
        assert sum(len(part.a) for part in self._parts) <= 2_000

    monkeypatch.setattr(LowestPairs, "add", count)
    size = 2_000 * engine.BYTES_A_NEAR_PAIR
    few = complete_linkage(np.eye(300), 150, settings=EngineSettings(pairs_bytes=size, block=block))
    assert max(measured) <= 1_000
    # The first stage measures all pairs; those after it end with the rows of the lowest.
    assert sum(measured) < 5 * 44_850
    assert few == complete_linkage(np.eye(300), 150)


def test_later_rows_have_none_of_the_lowest_if_the_highest_kept_begins_before_them():
    lowest = LowestPairs(0.5, 4)
    assert not lowest.has_none_from(100, 0.5)  # all are kept so far
    lowest.add(as_pairs([(0.5, 1, 2), (0.5, 5, 9), (0.5, 6, 7), (0.5, 6, 8), (0.5, 7, 8)]))
    assert lowest.cut == (5, 9)
    # Row 5 itself may have a lower pair yet: the cluster of row 0 may have row 5 as a member.
    assert not lowest.has_none_from(5, 0.5)
    assert lowest.has_none_from(6, 0.5)
    assert not lowest.has_none_from(6, 0.4)  # pairs at a smaller distance may follow


def test_groups_side_by_side_share_the_memory(monkeypatch):
    most = []
    made = LowestPairs.__init__

    def make(self, limit, held):
        most.append(held)
        made(self, limit, held)

    monkeypatch.setattr(LowestPairs, "__init__", make)
    monkeypatch.setattr(engine, "ALL_PAIRS_SHARE", 2.0)
    x = np.random.default_rng(0).normal(size=(300, 4))
    groups = [np.arange(100), np.arange(100, 300)]
    settings = EngineSettings(pairs_bytes=3_000 * engine.BYTES_A_NEAR_PAIR)
    list(linkage_trees(x, groups, [90, 180], settings=settings))
    assert most[:2] == [1_000, 2_000]


def test_groups_whose_near_pairs_do_not_fit_side_by_side_are_merged_one_by_one():
    paths = []
    size = 100 * 99 // 2 * BYTES_A_PAIR  # of all pairs of one group
    settings = EngineSettings(pairs_bytes=size, progress=lambda path, _: paths.append(path))
    x = np.random.default_rng(0).normal(size=(400, 4))
    groups = np.split(np.arange(400), 4)
    list(linkage_trees(x, groups, [70] * 4, settings=settings))
    assert any("all pairs of 100 rows" in path for path in paths)

"""Equal rows: all are found, also where hashes of unequal rows are equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rayred.linkage import complete_linkage, distinct
from rayred.linkage.distinct import distinct_groups, distinct_rows
from rayred.linkage.rows import as_unit_rows, unit_rows


def few_values(kind: str, n: int, d: int, seed: int) -> np.ndarray:
    """Rows of few different values, most of them several times, in a random order."""
    rng = np.random.default_rng(seed)
    if kind == "opposite":  # x and −x
        x = rng.normal(size=(1, d)) * rng.choice([-1, 1], size=(n, 1))
    elif kind == "codes":
        x = rng.choice([-1.0, 1.0], size=(n, d))
    elif kind == "one-hot":
        x = np.eye(d)[rng.integers(0, d, n)]
    elif kind == "k-of-n":
        x = (rng.permuted(np.tile(np.arange(d), (n, 1)), axis=1) < 1 + d // 3).astype(float)
    elif kind == "integers":
        x = rng.integers(-1, 2, (n, d)).astype(float)
        x[:, 0] += 2
    else:
        x = rng.normal(size=(3, d))[rng.integers(0, 3, n)]
    return x


KINDS = ("opposite", "codes", "one-hot", "k-of-n", "integers", "three")


@pytest.mark.parametrize("hashes", ["own", "few", "one"])
@pytest.mark.parametrize("first_columns", [1, 3, 32])
@given(
    kind=st.sampled_from(KINDS), n=st.integers(1, 60), d=st.integers(1, 6), seed=st.integers(0, 999)
)
@example(kind="codes", n=8, d=4, seed=0)  # two hashes of several values, another between them
@settings(max_examples=60, deadline=None)
def test_each_row_is_paired_with_the_equal_row_before_it(hashes, first_columns, kind, n, d, seed):
    x = few_values(kind, n, d, seed)
    unit = as_unit_rows(x) + 0.0  # without −0.0
    expected, last = [], {}
    for row, values in enumerate(unit):
        before = last.get(values.tobytes())
        last[values.tobytes()] = row
        if before is not None:
            expected.append([row, before])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "FIRST_COLUMNS", first_columns)
        if hashes != "own":
            plain = distinct._hashes
            patch.setattr(
                distinct, "_hashes", lambda unit: plain(unit) % (3 if hashes == "few" else 1)
            )
        found = distinct_rows(unit_rows(x))
    assert found.n_rows == n
    assert found.last.tolist() == sorted(last.values())
    assert np.array_equal(found.unit.numpy(), unit[found.last])
    assert sorted(found.duplicates.tolist()) == sorted(expected)
    assert np.all(np.diff(found.duplicates[:, 1]) > 0)


@given(
    kind=st.sampled_from([*KINDS, "different"]),
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_equal_rows_are_found_within_each_group(kind, sizes, seed):
    n = sum(sizes)
    rng = np.random.default_rng(seed)
    unit = unit_rows(
        rng.normal(size=(n, 4)) if kind == "different" else few_values(kind, n, 4, seed)
    )
    for part, found in zip(unit.split(sizes), distinct_groups(unit, sizes), strict=True):
        expected = distinct_rows(part)
        assert found.n_rows == expected.n_rows
        assert np.array_equal(found.last, expected.last)
        assert np.array_equal(found.duplicates, expected.duplicates)
        assert torch.equal(found.unit, expected.unit)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [8, 64])
def test_everyday_rows_have_hashes_of_their_own(kind, d):
    """So that rows are hardly ever sorted by all their numbers."""
    unit = unit_rows(few_values(kind, 3000, d, 0)) + 0.0
    assert len(distinct._hashes(unit).unique()) == len(np.unique(unit.numpy(), axis=0))


def test_the_hash_of_a_row_does_not_depend_on_its_place(monkeypatch):
    unit = unit_rows(np.random.default_rng(0).normal(size=(100, 5)))
    expected = distinct._hashes(unit)
    monkeypatch.setattr(distinct, "HASHED_BYTES", 8 * 5 * 7)
    assert torch.equal(distinct._hashes(unit), expected)


def test_rows_and_their_opposites_are_two_rows():
    x = few_values("opposite", 20_000, 16, 0)
    tree = complete_linkage(x)
    assert (tree.heights[:-1] == 0).all()
    assert tree.heights[-1] == pytest.approx(2)
    assert np.array_equal(tree.labels(2), (x[:, 0] != x[0, 0]).astype(int))

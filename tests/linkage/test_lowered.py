"""Factors in bfloat16: their product is never above the distances, and their pairs are enough."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rayred.linkage import EngineSettings, complete_linkage, products
from rayred.linkage.lowered import (
    EXTRA,
    FLOAT32_ROUNDING,
    TENSOR_CORE_ROUNDING,
    added_share,
    lowered,
    lowered_limit,
)
from rayred.linkage.pairs import cluster_factors, near_pairs, pair_distances, widen
from rayred.linkage.rows import as_unit_rows
from tests.linkage.example_rows import KINDS, make_rows


def factors(x: np.ndarray) -> tuple[Tensor, Tensor]:
    unit = torch.from_numpy(as_unit_rows(x))
    rows = torch.arange(len(unit))
    left, right, slack = cluster_factors(unit, rows, rows)
    widen(left, right, slack)
    return left, right


def of_rows(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return float32 factors of any rows y, not centred, whose product is −‖y − y'‖² / 2."""
    q, one = y.double().square().sum(1, keepdim=True).float() / 2, torch.ones(len(y), 1)
    return torch.cat([y, -q, -one], 1), torch.cat([y, one, q], 1)


def is_never_above(left: Tensor, right: Tensor, rounding: float = FLOAT32_ROUNDING) -> bool:
    """Whether every pair is a candidate at the distance that it has by the float32 factors."""
    low_left, low_right = lowered(left, right, rounding)
    exact = -(left.double() @ right.double().T)
    bits = (low_left @ low_right.T).view(torch.int16).int()
    limits = exact.clamp(min=2.0**-90).bfloat16().view(torch.int16).int() + 1
    return bool((bits <= limits).all())


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(2, 80),
    d=st.integers(3, 300),
    seed=st.integers(0, 10**6),
    rounding=st.sampled_from([FLOAT32_ROUNDING, TENSOR_CORE_ROUNDING]),
)
@settings(max_examples=80, deadline=None)
def test_the_product_is_never_above_the_distances(kind, n, d, seed, rounding):
    assert is_never_above(*factors(make_rows(kind, n, d, seed)), rounding)


@given(
    exponents=st.lists(st.integers(-140, 0), min_size=2, max_size=12),
    d=st.integers(1, 40),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=80, deadline=None)
def test_nor_is_it_for_rows_of_any_length(exponents, d, seed):
    """Also where numbers underflow: of a length of 2⁻¹⁴⁰, which no row of a study has."""
    y = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(exponents), d)))
    scale = torch.tensor(exponents, dtype=torch.float64).exp2().unsqueeze(1)
    assert is_never_above(*of_rows((y * scale).float()))


@pytest.mark.parametrize("d", [1, 8, 64, 500])
@pytest.mark.parametrize("sign", [1, -1])
def test_errors_of_one_sign_are_within_the_bound(d, sign):
    """All numbers lie where rounding to bfloat16 loses most, all in the direction of the row.

    Then the bound is met: the products of ten million pairs all have the largest error there is.
    """
    rng = np.random.default_rng(0)
    half = 2.0**-8 - 2.0**-20 if sign > 0 else 2.0**-8 + 2.0**-20  # of a unit in the last place
    y = torch.from_numpy(rng.choice([0.25, 0.5, 1.0, 2.0], (4_500, d)) * (1 + half)).float()
    y = y * (1 if sign > 0 else torch.from_numpy(rng.choice([-1.0, 1.0], (1, d))).float())
    rest = y - y.bfloat16()
    assert (sign * rest * y > 0).all()
    assert is_never_above(*of_rows(y))


@pytest.mark.parametrize(
    "y",
    [
        torch.eye(6),  # no rounding error at all
        torch.cat([torch.eye(4), -torch.eye(4)]),  # antipodes
        torch.zeros(3, 5),
        torch.full((4, 3), 2.0**-130),
    ],
    ids=["exact", "antipodes", "zeros", "denormal"],
)
def test_nothing_is_missed_where_little_is_left_to_round(y):
    assert is_never_above(*of_rows(y))


def test_negative_entries_are_candidates_at_any_limit():
    entries = torch.tensor([-1.0, -0.0, 0.0, 2.0**-10, 1.0], dtype=torch.bfloat16)
    found = [(entries.view(torch.int16) <= lowered_limit(t)).tolist() for t in (0.0, 2.0**-10, 1.0)]
    assert found == [[True] * 3 + [False] * 2, [True] * 4 + [False], [True] * 5]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [(64, 64), (37, 50), (1000, 1000)])
def test_near_pairs_are_found_by_either_factors(kind, block):
    x = make_rows(kind, 400, 24, 6)
    left, right = factors(x)
    a, b = (torch.from_numpy(rows) for rows in np.triu_indices(len(x), 1))
    distance = pair_distances(torch.from_numpy(as_unit_rows(x)), a, b)
    for share in (0.002, 0.5):  # few of the rows of a block have one, and nearly all
        limit = float(distance.quantile(share))
        near = set(zip(a[distance <= limit].tolist(), b[distance <= limit].tolist(), strict=True))
        low = lowered(left, right, FLOAT32_ROUNDING)
        pairs = [
            pair
            for i, j in near_pairs(*low, limit, block)
            for pair in zip(i.tolist(), j.tolist(), strict=True)
        ]
        assert near <= set(pairs)
        assert len(pairs) == len(set(pairs))
        assert all(i < j for i, j in pairs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.9, 0.4, 0.0])
def test_forced_precisions_make_the_same_tree(kind, share):
    x = make_rows(kind, 700, 40, 2)
    x = np.concatenate([x, x[:50]])
    count = max(1, round(share * len(x)))
    trees = [
        complete_linkage(x, count, settings=EngineSettings(precision=precision, block=(256, 64)))
        for precision in ("bfloat16", "float32", "auto")
    ]
    for tree in trees[1:]:
        assert np.array_equal(tree.children, trees[0].children)
        assert np.array_equal(tree.heights, trees[0].heights)


def said_of(x: np.ndarray, keep: float) -> str:
    said: list[str] = []
    progress = EngineSettings(progress=lambda stage, _: said.append(stage))
    complete_linkage(x, round(keep * len(x)), settings=progress)
    return "\n".join(said)


def test_bfloat16_is_used_where_it_is_faster_and_adds_few_pairs(monkeypatch):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, 32))
    loose = centres[rng.integers(0, 200, 1_100)] + 0.5 * rng.normal(size=(1_100, 32))
    close = rng.normal(size=(1_100, 2_000))  # the slack is as wide as all distances are apart
    for faster, expected in ((True, [True, False]), (False, [False, False])):
        monkeypatch.setattr(products, "lowering_pays", lambda *_, answer=faster: answer)
        assert ["in bfloat16" in said_of(x, 0.9) for x in (loose, close)] == expected


def test_the_share_of_added_pairs_is_that_of_all_pairs_of_the_rows():
    left, right = factors(make_rows("uniform", 300, 16, 1))
    rows, limit = torch.arange(0, 300, 3), 0.7
    low = lowered(left, right, FLOAT32_ROUNDING)
    found = ((low[0] @ low[1].T).view(torch.int16) <= lowered_limit(limit))[rows]
    near = (left @ right.T >= -limit)[rows]
    assert (near & ~found).sum() == 0
    added = int(found.sum()) - int(near.sum())
    assert added_share((left, right), low, rows, limit) == added / (100 * 300)


def test_factors_have_a_few_more_columns():
    low = lowered(*factors(make_rows("uniform", 5, 7, 0)), FLOAT32_ROUNDING)
    assert [factor.shape for factor in low] == [(5, 7 + EXTRA)] * 2
    assert {factor.dtype for factor in low} == {torch.bfloat16}


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision is 'half'; expected one of auto, bfloat16"):
        EngineSettings(precision="half")

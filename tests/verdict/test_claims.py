"""The correction of a table's claims against the closed test written out."""

from itertools import chain, combinations

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from rayred.verdict.claims import corrected, holm


def closed(equivalent: list[float], worse: list[float], level: float) -> set[tuple[str, int]]:
    """Every claim whose every intersection with other hypotheses is rejected, one by one."""
    p_values = {("equivalent", k): p for k, p in enumerate(equivalent)}
    p_values |= {("worse", k): p for k, p in enumerate(worse)}
    sets = chain.from_iterable(combinations(p_values, size) for size in range(1, len(p_values) + 1))
    kept = set()
    for one in sets:
        cells = {cell for _, cell in one}
        if min(p_values[claim] for claim in one) > level / len(cells):
            kept |= set(one)
    return set(p_values) - kept


def test_it_is_the_closed_test_with_a_share_of_the_level_for_each_cell():
    rng = np.random.default_rng(0)
    for cells in (1, 2, 3, 4):
        for _ in range(40):
            p = rng.random((2, cells)) ** 4
            equivalent, worse = corrected(*p)
            claimed = {("equivalent", k) for k in np.flatnonzero(equivalent <= 0.05)}
            claimed |= {("worse", k) for k in np.flatnonzero(worse <= 0.05)}
            assert claimed == closed(list(p[0]), list(p[1]), 0.05)


def test_it_claims_all_that_holms_procedure_over_all_claims_claims():
    rng = np.random.default_rng(1)
    for _ in range(200):
        p = rng.random((2, 5)) ** 4
        by_holm = multipletests(p.ravel(), method="holm")[1].reshape(2, 5)
        assert (np.array(corrected(*p)) <= by_holm + 1e-12).all()


def test_tables_are_corrected_row_by_row():
    p = np.random.default_rng(2).random((2, 7, 3))
    together = np.array(corrected(*p))
    for row in range(7):
        assert together[:, row] == pytest.approx(np.array(corrected(p[0, row], p[1, row])))
    assert corrected(np.array([]), np.array([]))[0].shape == (0,)


def test_holms_correction_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []

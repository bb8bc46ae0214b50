"""The verdict's statistics against slow, obvious ones."""

import numpy as np
import pytest
from scipy import stats

from rayred.results.trial import Trial, TrialResult
from rayred.verdict.comparison import compare, holm, power_of_equivalence, trials_to_decide
from rayred.verdict.judge import Verdict, judge

MARGIN = 0.25
SPREAD = 0.2
"""Standard deviation of the paper's trials, in percentage points."""


def study(rng: np.random.Generator, drops: dict[float, float], trials: int = 10) -> Verdict:
    """Judge a simulated study whose semantic subsets lose so many points, by fraction."""
    results = [
        TrialResult(
            Trial("full" if fraction == 1 else "semantic", fraction, number, number, ""),
            1,
            "finished",
            rng.normal(90 - drop, SPREAD) / 100,
        )
        for fraction, drop in {1.0: 0.0, **drops}.items()
        for number in range(trials)
    ]
    return judge("x", results, MARGIN)


def test_equivalence_is_two_one_sided_welch_tests():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.normal(90.1, 0.3, rng.integers(2, 9)), rng.normal(90, 0.1, rng.integers(2, 9))
        above = stats.ttest_ind(a + MARGIN, b, equal_var=False, alternative="greater").pvalue
        below = stats.ttest_ind(a - MARGIN, b, equal_var=False, alternative="less").pvalue
        comparison = compare(a, b, MARGIN)
        assert comparison.p_equivalent == pytest.approx(max(above, below))
        low, high = comparison.interval
        assert (comparison.p_equivalent <= 0.05) == (low >= -MARGIN and high <= MARGIN)
        worse = stats.ttest_ind(a, b, equal_var=False, alternative="less").pvalue
        assert comparison.p_worse == pytest.approx(worse)


def test_holms_correction_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_a_drop_of_the_margin_is_called_equivalent_in_5_percent_at_most():
    rng = np.random.default_rng(1)
    repetitions = 400
    alone = sum(
        study(rng, {0.9: MARGIN}).equivalent_fraction is not None for _ in range(repetitions)
    )
    together = sum(
        study(rng, {0.9: MARGIN, 0.8: MARGIN, 0.7: MARGIN}).equivalent_fraction is not None
        for _ in range(repetitions)
    )
    # 5 % and three standard errors of the simulation.
    most = repetitions * 0.05 + 3 * (repetitions * 0.05 * 0.95) ** 0.5
    assert alone <= most
    assert together <= most


def test_without_a_drop_it_says_equivalent_as_often_as_the_power_promises():
    rng = np.random.default_rng(2)
    repetitions = 400
    promised = power_of_equivalence(10, SPREAD, MARGIN)
    found = sum(study(rng, {0.9: 0.0}).equivalent_fraction is not None for _ in range(repetitions))
    assert promised == pytest.approx(0.70, abs=0.01)
    error = (promised * (1 - promised) / repetitions) ** 0.5
    assert abs(found / repetitions - promised) < 3 * error


@pytest.mark.parametrize(
    ("difference", "deviation"), [(0.0, 0.2), (-0.05, 0.3), (-0.5, 0.4), (0.1, 0.2)]
)
def test_trials_to_decide_is_the_first_number_with_80_percent_power(difference, deviation):
    number = trials_to_decide(2, difference, deviation, MARGIN)
    assert number is not None
    rng = np.random.default_rng(3)

    def decided(trials: int) -> float:
        pairs = [
            (rng.normal(90 + difference, deviation, trials), rng.normal(90, deviation, trials))
            for _ in range(400)
        ]
        compared = [compare(*pair, MARGIN) for pair in pairs]
        equivalent = np.mean([one.p_equivalent <= 0.05 for one in compared])
        return max(equivalent, np.mean([one.p_worse <= 0.05 for one in compared]))

    assert 0.74 < decided(number) < 0.9
    assert decided(max(2, number // 2)) < 0.74


def test_no_number_of_trials_makes_a_better_subset_equivalent():
    assert trials_to_decide(5, 0.3, 0.2, MARGIN) is None
    assert trials_to_decide(5, 0.0, 0.0, MARGIN) == 6

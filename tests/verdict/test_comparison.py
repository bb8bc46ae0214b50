"""The tests of single comparisons against slow, obvious ones."""

import numpy as np
import pytest
from scipy import stats

from rayred.verdict.comparison import compare
from rayred.verdict.crossed import Error, Group
from rayred.verdict.planning import power_of_equivalence, trials_to_decide

MARGIN = 0.0025
SPREAD = 0.002
"""Standard deviation of the paper's trials, as a share."""


def spread(deviation: float, images: float = 0.0) -> Error:
    return Error((np.array(deviation**2), np.array(deviation**2)), np.array(images))


def test_equivalence_is_two_one_sided_welch_tests():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.normal(0.901, 0.003, rng.integers(2, 9)), rng.normal(0.9, 0.001, 5)
        above = stats.ttest_ind(a + MARGIN, b, equal_var=False, alternative="greater").pvalue
        below = stats.ttest_ind(a - MARGIN, b, equal_var=False, alternative="less").pvalue
        comparison = compare(Group.of(a), Group.of(b), MARGIN)
        assert comparison.p_equivalent == pytest.approx(max(above, below))
        low, high = (comparison.difference + side * comparison.half_width for side in (-1, 1))
        assert (comparison.p_equivalent <= 0.05) == (low >= -MARGIN and high <= MARGIN)
        worse = stats.ttest_ind(a, b, equal_var=False, alternative="less").pvalue
        assert comparison.p_worse == pytest.approx(worse)


def test_the_interval_lies_within_the_margin_where_the_test_says_so_with_images_too():
    rng = np.random.default_rng(1)
    said = set()
    for share in np.linspace(0, 0.3, 40):
        ours, full = (rng.random((3, 2000)) < [[0.9]] for _ in range(2))
        ours = np.where(rng.random((3, 2000)) < share, ours, full)
        groups = [Group.of(one.mean(axis=1), one) for one in (ours, full)]
        agreement = (ours.mean(axis=0) * full.mean(axis=0)).mean()
        one = compare(*groups, 0.02, agreement, 2000)
        within = abs(one.difference) + one.half_width <= 0.02
        assert within == (one.p_equivalent <= 0.05)
        said.add(bool(within))
    assert said == {False, True}


@pytest.mark.parametrize(("lost", "n"), [(0, 1000), (1, 2000), (3, 3000), (9, 5000)])
def test_few_images_that_differ_prove_no_more_than_the_exact_binomial_test(lost, n):
    # All trials agree: what is left is how many of n images are lost. With very many trials the
    # tests are at their boldest.
    full = np.ones((50, n), dtype=bool)
    ours = full.copy()
    ours[:, :lost] = False
    groups = [Group.of(one.mean(axis=1), one) for one in (ours, full)]
    one = compare(*groups, 0.0025, 1 - lost / n, n)
    exact = stats.binom.cdf(lost, n, 0.0025)
    assert one.p_equivalent >= 0.9 * exact
    assert one.p_worse > 0.1 or one.p_worse >= 0.9 * 0.5**lost


def test_without_a_drop_it_says_equivalent_as_often_as_the_power_promises():
    rng = np.random.default_rng(2)
    repetitions = 4000
    promised = power_of_equivalence(spread(SPREAD), 10, MARGIN)
    groups = [
        Group(np.array(10.0), trials.mean(axis=1), trials.var(axis=1, ddof=1), *[np.nan] * 2)
        for trials in (rng.normal(0.9, SPREAD, (repetitions, 10)) for _ in range(2))
    ]
    found = (compare(*groups, MARGIN).p_equivalent <= 0.05).mean()
    assert promised == pytest.approx(0.70, abs=0.01)
    assert abs(found - promised) < 3 * (promised * (1 - promised) / repetitions) ** 0.5 + 0.01


@pytest.mark.parametrize(
    ("difference", "deviation"), [(0.0, 0.002), (-0.0005, 0.003), (-0.005, 0.004), (0.001, 0.002)]
)
def test_trials_to_decide_is_the_first_number_with_80_percent_power(difference, deviation):
    number = trials_to_decide(spread(deviation), 2, difference, MARGIN)
    assert number is not None
    rng = np.random.default_rng(3)

    def decided(trials: int) -> float:
        groups = [
            Group(np.array(float(trials)), one.mean(axis=1), one.var(axis=1, ddof=1), *[np.nan] * 2)
            for one in (
                rng.normal(0.9 + shift, deviation, (2000, trials)) for shift in (difference, 0.0)
            )
        ]
        compared = compare(*groups, MARGIN)
        return max((p <= 0.05).mean() for p in (compared.p_equivalent, compared.p_worse))

    assert 0.77 < decided(number) < 0.9
    assert decided(max(2, number // 2)) < 0.77


def test_no_number_of_trials_makes_a_better_subset_equivalent():
    assert trials_to_decide(spread(SPREAD), 5, 0.003, MARGIN) is None


def test_no_number_of_trials_makes_up_for_the_error_of_the_images():
    assert trials_to_decide(spread(SPREAD, images=0.002**2), 5, 0.0, MARGIN) is None
    few, many = (trials_to_decide(spread(SPREAD, x), 2, 0.0, MARGIN) for x in (0.0, 0.0005**2))
    assert few < many

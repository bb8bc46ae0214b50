"""Tests that compare two groups of test accuracies: equivalence, loss, and the trials they take.

All tests are those of statsmodels. Accuracies are in percent, differences in percentage points.

>>> import numpy as np
>>> full, subset = np.array([90.1, 89.9, 90.0, 90.2]), np.array([90.0, 90.1, 89.8, 90.1])
>>> comparison = compare(subset, full, margin=0.5)
>>> round(comparison.difference, 3), comparison.p_equivalent < 0.05, comparison.p_worse < 0.05
(-0.05, True, False)

Legend: n trials of a group.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

LEVEL = 0.05
"""Significance level: the largest chance of a wrong claim."""
POWER = 0.8
"""Statistical power that the recommended number of trials has."""
MOST_TRIALS = 10_000
"""Largest number of trials that is recommended."""
CERTAIN = 20.0
"""Effect in standard errors above which a test's power is taken as 1.

SciPy's noncentral t distribution, from which the power is computed, fails for very large effects.
"""

Interval = tuple[float, float]
"""Lower and upper end of a confidence interval."""
Accuracies = NDArray[np.float64]
"""(n,) test accuracies of the trials of a group, in percent."""


@dataclass(frozen=True)
class Comparison:
    """The comparison of one group of trials with another."""

    difference: float
    """Mean of the first group minus mean of the second, in percentage points."""
    interval: Interval | None = None
    """90 % interval of the difference (Welch's t); `None` below two trials each."""
    p_equivalent: float | None = None
    """p-value of two one-sided tests: small if the difference lies within the margin; `None` below
    two trials each."""
    p_worse: float | None = None
    """p-value of a one-sided test: small if the difference lies below zero; `None` below two
    trials each."""


def compare(ours_n: Accuracies, theirs_n: Accuracies, margin: float) -> Comparison:
    """Compare the means of two independent groups by Welch's t-test.

    Parameters
    ----------
    ours_n, theirs_n
        Accuracies of the trials, in percent, at least one each; their numbers may differ.
    margin
        Largest difference that does not matter, in percentage points.

    Source: Schuirmann, A comparison of the two one-sided tests procedure (1987).
    """
    difference = float(ours_n.mean() - theirs_n.mean())
    if min(len(ours_n), len(theirs_n)) < 2:
        return Comparison(difference)
    if np.ptp(ours_n) == np.ptp(theirs_n) == 0:
        # No spread at all: Welch's test is undefined there, and its limit is certainty.
        equivalent, worse = abs(difference) < margin, difference < 0
        return Comparison(difference, (difference,) * 2, 1.0 - equivalent, 1.0 - worse)
    means = CompareMeans(DescrStatsW(ours_n), DescrStatsW(theirs_n))
    low, high = means.tconfint_diff(alpha=2 * LEVEL, usevar="unequal")
    p_equivalent = means.ttost_ind(-margin, margin, usevar="unequal")[0]
    p_worse = means.ttest_ind(alternative="smaller", usevar="unequal")[1]
    return Comparison(difference, (float(low), float(high)), float(p_equivalent), float(p_worse))


@dataclass(frozen=True)
class Advantage:
    """How much better one selector's subsets are than another's of the same fraction."""

    fraction: float
    """Share of every class that both subsets keep."""
    difference: float
    """Mean accuracy of the first selector minus that of the second, in percentage points."""
    interval: Interval
    """95 % interval of the difference, in percentage points."""
    p_value: float
    """p-value of a two-sided t-test; in a verdict, with Holm's correction over the fractions."""
    paired: bool
    """True for a paired test of trials with the same seeds, False for Welch's t-test."""


def advantage(
    fraction: float, ours: dict[int, float], theirs: dict[int, float]
) -> Advantage | None:
    """Compare two selectors: by a paired t-test if both have the same seeds, else by Welch's.

    Parameters
    ----------
    fraction
        Share of every class that both subsets keep.
    ours, theirs
        Accuracy in percent by the training seed of the trial.

    Returns
    -------
    advantage
        `None` below two trials each, or if the trials have no spread, so that no test is defined.
    """
    if min(len(ours), len(theirs)) < 2:
        return None
    paired = ours.keys() == theirs.keys()
    a, b = (np.array([group[seed] for seed in sorted(group)]) for group in (ours, theirs))
    if paired:
        if np.ptp(a - b) < 1e-9:
            return None
        test = DescrStatsW(a - b)
        interval, p_value = test.tconfint_mean(), test.ttest_mean()[1]
    else:
        if np.ptp(a) == np.ptp(b) == 0:
            return None
        means = CompareMeans(DescrStatsW(a), DescrStatsW(b))
        interval = means.tconfint_diff(usevar="unequal")
        p_value = means.ttest_ind(usevar="unequal")[1]
    low, high = map(float, interval)
    return Advantage(fraction, float(a.mean() - b.mean()), (low, high), float(p_value), paired)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's procedure, in the given order.

    Source: Holm, A simple sequentially rejective multiple test procedure (1979).
    """
    if len(p_values) < 2:
        return list(p_values)
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def power_of_equivalence(
    trials: int, deviation: float, margin: float, *, difference: float = 0.0, level: float = LEVEL
) -> float:
    """Return a lower bound of the chance that two groups are found equivalent.

    Parameters
    ----------
    trials
        Number of trials of each group.
    deviation
        True standard deviation of the trials, in percentage points.
    margin, difference
        Margin of equivalence and true difference, in percentage points.
    level
        Significance level of each test.
    """
    # Both one-sided tests have to reject. The chance of that is at least 1 minus the sum of the
    # chances that either does not.
    above, below = (
        _power((margin + side * difference) / deviation, trials, level) for side in (1, -1)
    )
    return max(0.0, above + below - 1)


def trials_to_decide(
    trials: int, difference: float, deviation: float, margin: float, level: float = LEVEL
) -> int | None:
    """Return how many trials of each group would show equivalence or a loss with 80 % power.

    It assumes that the true difference and deviation are those found so far.

    Parameters
    ----------
    trials
        Number of trials of each group so far, which have not decided.
    difference, deviation
        Difference of the means and standard deviation of the trials so far, in percentage points.
    margin
        Margin of equivalence, in percentage points.
    level
        Significance level of each test.

    Returns
    -------
    number
        All trials of each group, those so far included; `None` if `MOST_TRIALS` are too few, for
        example where the subset is better than the full set by the margin or more.
    """
    if deviation == 0:
        return trials + 1 if abs(difference) < margin or difference < 0 else None

    def power(number: int) -> float:
        equivalent = power_of_equivalence(
            number, deviation, margin, difference=difference, level=level
        )
        return max(equivalent, _power(-difference / deviation, number, level))

    candidates = range(trials + 1, MOST_TRIALS + 1)
    place = bisect_left(candidates, POWER, key=power)
    return candidates[place] if place < len(candidates) else None


def _power(effect: float, trials: int, level: float) -> float:
    """Return the power of a one-sided t-test of two groups of `trials` each.

    `effect` is the difference in standard deviations; if it is not above zero, the power is 0.
    """
    if effect <= 0:
        return 0.0
    if effect * (trials / 2) ** 0.5 > CERTAIN:
        return 1.0
    return float(TTestIndPower().power(effect, trials, level, alternative="larger"))

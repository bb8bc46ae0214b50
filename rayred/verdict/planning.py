"""How many trials a comparison would take to be decided.

Differences and margins are shares (0 to 1), as in `crossed`.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from scipy import stats

from rayred.verdict.comparison import LEVEL
from rayred.verdict.crossed import Error

POWER = 0.8
"""Statistical power that the recommended number of trials has."""
MOST_TRIALS = 10_000
"""Largest number of trials that is recommended."""
CERTAIN = 20.0
"""Distance from the critical value, in standard errors, from which a test's power is taken as 1.

SciPy's noncentral t distribution, from which the power is computed, fails for very large effects.
"""


def power_of_equivalence(
    error: Error,
    trials: int,
    margin: float,
    *,
    difference: float = 0.0,
    step: float = 0.0,
    level: float = LEVEL,
) -> float:
    """Return a lower bound of the chance that two groups are found equivalent.

    Parameters
    ----------
    error
        The true error of the difference.
    trials
        Number of trials of each group.
    margin, difference
        Margin of equivalence and true difference.
    step
        Half a test image, see `comparison.compare`.
    level
        Significance level of each test.
    """
    # Both one-sided tests have to reject. The chance of that is at least 1 minus the sum of the
    # chances that either does not.
    above, below = (
        _power(margin + side * difference - step, error, trials, level) for side in (1, -1)
    )
    return max(0.0, above + below - 1)


def trials_to_decide(
    error: Error,
    trials: int,
    difference: float,
    margin: float,
    *,
    step: float = 0.0,
    level: float = LEVEL,
) -> int | None:
    """Return how many trials of each group would show equivalence or a loss with 80 % power.

    It assumes that the true difference and error are those found so far. The error of the test
    images stays however many trials there are.

    Parameters
    ----------
    error
        The error of the difference.
    trials
        Number of trials of each group so far, which have not decided.
    difference, margin
        Difference of the means so far, and margin of equivalence.
    step
        Half a test image, see `comparison.compare`.
    level
        Significance level of each test: that of the table divided by its number of cells, which is
        enough whatever the other cells show.

    Returns
    -------
    number
        All trials of each group, those so far included; `None` if `MOST_TRIALS` are too few, for
        example where the subset is better than the full set by the margin or more, or where the
        test images are too few.
    """

    def power(number: int) -> float:
        equivalent = power_of_equivalence(
            error, number, margin, difference=difference, step=step, level=level
        )
        return max(equivalent, _power(-difference - step, error, number, level))

    candidates = range(trials + 1, MOST_TRIALS + 1)
    place = bisect_left(candidates, POWER, key=power)
    return candidates[place] if place < len(candidates) else None


def _power(effect: float, error: Error, trials: int, level: float) -> float:
    """Return the power of a one-sided t-test of an effect; if it is not above zero, the power is 0.

    Two groups have as many trials each.
    """
    if effect <= 0:
        return 0.0
    freedom = float(error.freedom(trials, trials))
    critical = float(stats.t.isf(level, freedom))
    away = effect / float(np.sqrt(error.variance(trials, trials)))
    return 1.0 if away > critical + CERTAIN else float(stats.nct.sf(critical, freedom, away))

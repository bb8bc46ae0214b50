"""Tests of the difference of two mean accuracies: equivalence, loss, and an advantage.

Accuracies are shares (0 to 1). All functions work on arrays of any shape, one entry a comparison.

>>> import numpy as np
>>> full, subset = (Group.of(np.array(a)) for a in ([0.9, 0.899, 0.901], [0.9, 0.901, 0.9]))
>>> test = compare(subset, full, margin=0.005)
>>> print(f"{test.difference:.4f} {test.p_equivalent:.3f} {test.p_worse:.3f}")
0.0003 0.002 0.675

Legend: T trials of a group, n test images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from rayred.verdict.crossed import Array, Error, Group, of_difference

LEVEL = 0.05
"""Significance level: the largest chance that a table holds a wrong claim."""

Interval = tuple[float, float]
"""Lower and upper end of a confidence interval."""


@dataclass(frozen=True)
class Comparison:
    """The comparison of groups of trials with the full set; NaN where it has no test."""

    difference: Array
    """Mean of the group minus that of the full set."""
    error: Error
    """The error of the difference."""
    half_width: Array
    """Half of the 90 % interval of the difference."""
    p_equivalent: Array
    """p-value of two one-sided tests: small if the difference lies within the margin."""
    p_worse: Array
    """p-value of a one-sided test: small if the difference lies below zero."""


def compare(
    ours: Group, full: Group, margin: float, agreement: Array | float = np.nan, n: int | None = None
) -> Comparison:
    """Compare groups of trials with the full set by Student's t, see `crossed.of_difference`.

    Two rules keep the tests from claiming too much where results on hardly any image differ. The
    variance is at least margin × (1 − margin) / n, which it is at least where the difference is the
    margin. And half an image is taken off: accuracies of n images move in steps.

    Without test images and any spread of the trials there is no test.

    Parameters
    ----------
    ours, full
        The groups, and the full set's trials. Their arrays are broadcast.
    margin
        Largest difference that does not matter, as a share.
    agreement, n
        See `crossed.of_difference`.

    Source: Schuirmann, A comparison of the two one-sided tests procedure (1987); Tango, Equivalence
    test and confidence interval for the difference in proportions for the paired-sample design
    (1998), for the variance where the difference is the margin; Fleiss, Levin and Paik, Statistical
    Methods for Rates and Proportions (2003), for the half image.
    """
    difference = ours.mean - full.mean
    found = of_difference(ours, full, agreement, n)
    error = Error(found.per_trial, found.images, 0.0 if n is None else margin * (1 - margin) / n)
    step = half_image(n)
    variance = error.variance(ours.trials, full.trials)
    deviation = np.sqrt(np.where(variance > 0, variance, np.nan))
    freedom = error.freedom(ours.trials, full.trials)
    return Comparison(
        difference,
        error,
        stats.t.isf(LEVEL, freedom) * deviation + step,
        stats.t.sf((margin - np.abs(difference) - step) / deviation, freedom),
        stats.t.sf((-difference - step) / deviation, freedom),
    )


def interval(mean: float, error: Error, trials: tuple[int, ...], n: int | None) -> Interval | None:
    """Return the 95 % interval of a mean or difference; None if it has no error.

    Parameters
    ----------
    mean, error
        The mean or difference, and its error.
    trials
        Number of trials of each group.
    n
        Number of test images; None if it is unknown.
    """
    variance = float(error.variance(*trials))
    if not variance > 0:
        return None
    t = stats.t.isf(0.025, float(error.freedom(*trials)))
    half = float(t * np.sqrt(variance) + half_image(n))
    return mean - half, mean + half


def p_value(mean: float, error: Error, trials: tuple[int, ...], n: int | None) -> float:
    """Return the p-value of a two-sided test that a difference is zero; see `interval`."""
    away = max(0.0, abs(mean) - half_image(n))
    deviation = float(np.sqrt(error.variance(*trials)))
    return float(2 * stats.t.sf(away / deviation, float(error.freedom(*trials))))


def half_image(n: int | None) -> float:
    """Return half a test image as a share of all; 0 if their number is unknown."""
    return 0.0 if n is None else 0.5 / n

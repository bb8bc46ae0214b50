"""The cells of the result table: all trials of one selector at one fraction, described and judged.

Accuracies are in percent, differences in percentage points.

Legend: n trials of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from statsmodels.stats.weightstats import DescrStatsW

from rayred.results.trial import TrialResult
from rayred.verdict.comparison import (
    LEVEL,
    Accuracies,
    Comparison,
    Interval,
    compare,
    holm,
    trials_to_decide,
)

Outcome = Literal["equivalent", "worse", "undecided"]


@dataclass(frozen=True)
class Cell:
    """All trials of one selector at one fraction, and how they compare with the full set."""

    selector: str
    """Name of the selector, or ``full``."""
    fraction: float
    """Share of every class that is trained on."""
    n_train: int
    """Number of training images."""
    trials: int
    """Number of finished trials."""
    failed: int
    """Number of failed trials; nothing else here counts them."""
    mean: float | None = None
    """Mean test accuracy in percent; `None` if no trial finished."""
    deviation: float | None = None
    """Standard deviation over the trials (n − 1), in percentage points; `None` below two trials."""
    interval: Interval | None = None
    """95 % interval of the mean (Student's t), in percent; `None` below two trials."""
    difference: float | None = None
    """Mean minus the full set's mean, in percentage points; `None` if either has no trial."""
    difference_interval: Interval | None = None
    """90 % interval of the difference (Welch's t), in percentage points; `None` below two trials
    of either."""
    p_equivalent: float | None = None
    """p-value of equivalence with the full set (two one-sided tests), with Holm's correction."""
    p_worse: float | None = None
    """p-value of being worse than the full set (one-sided test), with Holm's correction."""
    outcome: Outcome | None = None
    """Result of the comparison with the full set; `None` if there is nothing to compare."""
    trials_to_decide: int | None = None
    """About how many trials would decide an undecided comparison; `None` if no number is known."""


def accuracies_of(results: Sequence[TrialResult]) -> Accuracies:
    """Return the test accuracies of the finished trials, (n,) float64 in percent."""
    finished = [result.test_accuracy for result in results if result.test_accuracy is not None]
    return 100 * np.array(finished, dtype=np.float64)


def describe(selector: str, fraction: float, results: Sequence[TrialResult]) -> Cell:
    """Return the cell of some trials, not yet compared with the full set.

    Parameters
    ----------
    selector, fraction
        Those of all the trials.
    results
        At least one trial, finished or failed.
    """
    accuracies = accuracies_of(results)
    n = len(accuracies)
    cell = Cell(selector, fraction, results[0].n_train, trials=n, failed=len(results) - n)
    if n > 0:
        cell = replace(cell, mean=float(accuracies.mean()))
    if n > 1:
        low, high = DescrStatsW(accuracies).tconfint_mean()
        deviation = float(accuracies.std(ddof=1))
        cell = replace(cell, deviation=deviation, interval=(float(low), float(high)))
    return cell


def compare_with_full(
    cells: Sequence[Cell], accuracies: Sequence[Accuracies], full: Accuracies, margin: float
) -> list[Cell]:
    """Return the cells of one selector with their comparisons with the full set.

    Parameters
    ----------
    cells
        The cells of all fractions: their p-values are corrected for their number.
    accuracies
        For each cell the accuracies of its trials, in percent.
    full
        Those of the full set.
    margin
        The margin of equivalence, in percentage points.
    """
    compared = [compare(group, full, margin) if len(group) else None for group in accuracies]
    equivalent = _corrected(compared, lambda comparison: comparison.p_equivalent)
    worse = _corrected(compared, lambda comparison: comparison.p_worse)
    # The strictest level of Holm's procedure: enough whatever the other fractions show.
    level = LEVEL / max(1, sum(p is not None for p in equivalent))
    decided = []
    for cell, group, comparison, p_equivalent, p_worse in zip(
        cells, accuracies, compared, equivalent, worse, strict=True
    ):
        if comparison is None:
            decided.append(cell)
            continue
        outcome = _outcome(p_equivalent, p_worse)
        needed = None
        if outcome == "undecided" and comparison.interval is not None:
            needed = _trials_needed(comparison.difference, group, full, margin, level)
        cell = replace(
            cell,
            difference=comparison.difference,
            difference_interval=comparison.interval,
            p_equivalent=p_equivalent,
            p_worse=p_worse,
            outcome=outcome,
            trials_to_decide=needed,
        )
        decided.append(cell)
    return decided


def _outcome(p_equivalent: float | None, p_worse: float | None) -> Outcome:
    if p_equivalent is not None and p_equivalent <= LEVEL:
        return "equivalent"
    if p_worse is not None and p_worse <= LEVEL:
        return "worse"
    return "undecided"


def _trials_needed(
    difference: float, group: Accuracies, full: Accuracies, margin: float, level: float
) -> int | None:
    """Return the number of trials that would decide, from two groups of at least two trials."""
    deviation = float(np.sqrt((group.var(ddof=1) + full.var(ddof=1)) / 2))
    return trials_to_decide(max(len(group), len(full)), difference, deviation, margin, level)


def _corrected(
    compared: Sequence[Comparison | None], p_value: Callable[[Comparison], float | None]
) -> list[float | None]:
    """Return one p-value of each comparison with Holm's correction; `None` where there is none."""
    values = [None if comparison is None else p_value(comparison) for comparison in compared]
    corrected = iter(holm([value for value in values if value is not None]))
    return [None if value is None else next(corrected) for value in values]

"""The cells of the result table: all trials of one selector at one fraction, described and judged.

Accuracies are in percent, differences in percentage points.

Legend: T finished trials of a cell, n test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy import stats

from rayred.results.trial import TrialResult
from rayred.verdict.claims import corrected
from rayred.verdict.comparison import LEVEL, Comparison, Interval, compare, half_image, interval
from rayred.verdict.crossed import of_mean
from rayred.verdict.planning import trials_to_decide
from rayred.verdict.trials import Trials, agreement, is_finished, why_failed

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
    """Number of failed trials; nothing else here counts them, nor an accuracy that is NaN."""
    failure: str = field(default="", kw_only=True)
    """Why the first of them failed."""
    mean: float | None = None
    """Mean test accuracy in percent; `None` if no trial finished."""
    deviation: float | None = None
    """Standard deviation over the trials (T − 1), in percentage points; `None` below two trials."""
    interval: Interval | None = None
    """95 % interval of the mean (Student's t) over trials and test images, in percent; `None` below
    two trials."""
    difference: float | None = None
    """Mean minus the full set's mean, in percentage points; `None` if either has no trial."""
    difference_interval: Interval | None = None
    """90 % interval of the difference (Student's t) over trials and test images, in percentage
    points, of this cell alone: not corrected for the number of cells; `None` below two trials of
    either."""
    p_equivalent: float | None = None
    """p-value of equivalence with the full set (two one-sided tests), corrected for all claims of
    the table; `None` if there is no test, or nothing is claimed."""
    p_worse: float | None = None
    """p-value of being worse than the full set (one-sided test), corrected likewise."""
    outcome: Outcome | None = None
    """Result of the comparison with the full set; `None` if there is nothing to compare."""
    trials_to_decide: int | None = None
    """About how many trials would decide an undecided comparison; `None` if no number is known."""
    image_error: float | None = None
    """What the half width of the 90 % interval of the difference is with any number of trials: the
    error of the test images, in percentage points; `None` if it is unknown."""
    worst_class: str = ""
    """Class with the lowest accuracy, averaged over the trials; empty if it is unknown."""
    worst_class_accuracy: float | None = None
    """That accuracy in percent; `None` if it is unknown."""
    most_lost_class: str = ""
    """Class whose accuracy lies farthest below the full set's, or least above it, each averaged
    over the trials; empty if it is unknown."""
    most_lost: float | None = None
    """Its accuracy minus the full set's, in percentage points; `None` if it is unknown."""


def describe(
    selector: str, fraction: float, results: Sequence[TrialResult], trials: Trials, n: int | None
) -> Cell:
    """Return the cell of some trials, not yet compared with the full set.

    Parameters
    ----------
    selector, fraction
        Those of all the trials.
    results, trials
        At least one trial, finished or failed, and the finished ones of them.
    n
        Number of test images; None if it is unknown.
    """
    finished = len(trials)
    cell = Cell(
        selector,
        fraction,
        results[0].n_train,
        finished,
        len(results) - finished,
        failure=next((why_failed(one) for one in results if not is_finished(one)), ""),
    )
    if finished == 0:
        return cell
    group = trials.group
    mean = float(group.mean)
    cell = replace(cell, mean=100 * mean)
    if finished == 1:
        return cell
    within = interval(mean, of_mean(group, n), (finished,), n)
    deviation = 100 * float(np.sqrt(group.variance))
    return replace(cell, deviation=deviation, interval=in_percent(within, 0.0))


def in_percent(interval: Interval | None, least: float = -100.0) -> Interval | None:
    """Return an interval of shares in percent, within what is possible: `least` to 100."""
    if interval is None:
        return None
    return max(least, 100 * interval[0]), min(100.0, 100 * interval[1])


def compare_with_full(
    cells: Sequence[Cell], trials: Sequence[Trials], full: Trials, margin: float, n: int | None
) -> list[Cell]:
    """Return cells with their comparisons with the full set.

    Parameters
    ----------
    cells
        All cells but those of the full set: their p-values are corrected for their number.
    trials
        The finished trials of each.
    full
        Those of the full set, at least one.
    margin
        The margin of equivalence, in percentage points.
    n
        Number of test images; None if it is unknown.
    """
    compared: list[Cell] = []
    tests: dict[int, Comparison] = {}
    for place, (cell, ours) in enumerate(zip(cells, trials, strict=True)):
        if len(ours) and len(full):
            difference = 100 * float(ours.group.mean - full.group.mean)
            cell = replace(cell, difference=difference, outcome="undecided")
        if min(len(ours), len(full)) > 1:
            test = compare(ours.group, full.group, margin / 100, agreement(ours, full), n)
            if np.isfinite(test.half_width):
                tests[place] = test
        compared.append(cell)
    p_equivalent, p_worse = corrected(
        np.array([float(test.p_equivalent) for test in tests.values()]),
        np.array([float(test.p_worse) for test in tests.values()]),
    )
    level = LEVEL / max(1, len(tests))
    for (place, test), *p_values in zip(tests.items(), p_equivalent, p_worse, strict=True):
        trials_so_far = max(len(trials[place]), len(full))
        cell = _judged(compared[place], test, n, *map(float, p_values))
        needed = _trials_needed(test, trials_so_far, margin, n, level)
        undecided = cell.outcome == "undecided"
        compared[place] = replace(cell, trials_to_decide=needed) if undecided else cell
    return compared


def _judged(
    cell: Cell, test: Comparison, n: int | None, p_equivalent: float, p_worse: float
) -> Cell:
    """Return a cell with the outcome of its tests, whose p-values are corrected."""
    outcome: Outcome = "undecided"
    if p_equivalent <= LEVEL:
        outcome = "equivalent"
    elif p_worse <= LEVEL:
        outcome = "worse"
    difference, half = float(test.difference), float(test.half_width)
    of_images = float(test.error.variance(np.inf, np.inf)) ** 0.5
    image_error = 100 * (float(stats.norm.isf(LEVEL)) * of_images + half_image(n))
    return replace(
        cell,
        difference_interval=in_percent((difference - half, difference + half)),
        p_equivalent=p_equivalent,
        p_worse=p_worse,
        outcome=outcome,
        image_error=image_error if n else None,
    )


def _trials_needed(
    test: Comparison, trials: int, margin: float, n: int | None, level: float
) -> int | None:
    """Return the number of trials that would decide a comparison; see `planning`."""
    difference, step = float(test.difference), half_image(n)
    return trials_to_decide(test.error, trials, difference, margin / 100, step=step, level=level)

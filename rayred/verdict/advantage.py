"""How much better semantic, or given, subsets are than random ones of the same size.

A question of its own beside the table's claims about the full set, and a family of its own: the
chance that any of its p-values is at most 0.05 where these and random subsets are equally good
is at most 5 % (Holm's correction over the fractions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from rayred.results.trial import subject
from rayred.verdict.cells import in_percent
from rayred.verdict.claims import holm
from rayred.verdict.comparison import Interval, interval, p_value
from rayred.verdict.crossed import Group, of_difference, of_pairs
from rayred.verdict.trials import Trials, agreement


@dataclass(frozen=True)
class Advantage:
    """How much better one selector's subsets are than random ones of the same fraction."""

    selector: str
    """Name of the selector."""
    fraction: float
    """Share of every class that both subsets keep."""
    difference: float
    """Its mean accuracy minus that of random subsets, in percentage points."""
    interval: Interval
    """95 % interval of the difference over trials and test images, in percentage points."""
    p_value: float
    """p-value of a two-sided t-test; in a verdict, with Holm's correction over the fractions."""
    paired: bool
    """True for trials paired by their seeds, False for independent ones."""


def against_random(
    trials: Mapping[tuple[str, float], Trials], n: int | None
) -> tuple[Advantage, ...]:
    """Return the comparison of the study's subsets with random ones, where a fraction allows one.

    Parameters
    ----------
    trials
        Finished trials by selector and fraction.
    n
        Number of test images; None if it is unknown.
    """
    ours = subject(selector for selector, _ in trials)
    found = [
        advantage(ours, fraction, trials[ours, fraction], trials["random", fraction], n)
        for selector, fraction in sorted(trials, reverse=True)
        if selector == ours and ("random", fraction) in trials
    ]
    defined = [one for one in found if one is not None]
    p_values = holm([one.p_value for one in defined])
    return tuple(replace(one, p_value=p) for one, p in zip(defined, p_values, strict=True))


def advantage(
    selector: str, fraction: float, ours: Trials, theirs: Trials, n: int | None
) -> Advantage | None:
    """Compare a selector with random, trials in pairs of the same seed if both have the same seeds.

    Parameters
    ----------
    selector
        Name of the selector.
    fraction
        Share of every class that both subsets keep.
    ours, theirs
        Its trials, and those of random subsets.
    n
        Number of test images; None if it is unknown.

    Returns
    -------
    advantage
        `None` below two trials each, or if there is neither spread nor a known number of test
        images, so that no test is defined.
    """
    if min(len(ours), len(theirs)) < 2:
        return None
    a, b = ours.group, theirs.group
    paired = sorted(ours.seeds) == sorted(theirs.seeds)
    numbers: tuple[int, ...] = (len(ours),) if paired else (len(ours), len(theirs))
    if paired:
        error = of_pairs(_pairs(ours, theirs), a, b, n)
    else:
        error = of_difference(a, b, agreement(ours, theirs), n)
    difference = float(a.mean - b.mean)
    within = in_percent(interval(difference, error, numbers, n))
    if within is None:
        return None
    p = p_value(difference, error, numbers, n)
    return Advantage(selector, fraction, 100 * difference, within, p, paired)


def _pairs(ours: Trials, theirs: Trials) -> Group:
    """Return the differences of the trials of the same seed, as a group."""
    first, second = (np.argsort(trials.seeds, kind="stable") for trials in (ours, theirs))
    accuracies = ours.accuracies[first] - theirs.accuracies[second]
    if ours.correct is None or theirs.correct is None:
        return Group.of(accuracies)
    results = ours.correct[first].astype(np.int8) - theirs.correct[second]
    return Group.of(accuracies, results)

"""What the trials prove: statistics of every fraction and selector, and the sentence on top.

Accuracies are given in percent, differences in percentage points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

import numpy as np
from statsmodels.stats.weightstats import DescrStatsW

from rayred.results.trial import TrialResult
from rayred.verdict.comparison import (
    LEVEL,
    MOST_TRIALS,
    Accuracies,
    Advantage,
    Comparison,
    Interval,
    advantage,
    compare,
    holm,
    trials_to_decide,
)

FULL = "full"
Outcome = Literal["equivalent", "worse", "undecided"]


@dataclass(frozen=True)
class Cell:
    """All trials of one selector at one fraction."""

    selector: str
    fraction: float
    n_train: int
    trials: int
    """Finished trials."""
    failed: int
    """Failed trials, which count in nothing else."""
    mean: float | None = None
    """Mean test accuracy in percent; none where no trial finished."""
    deviation: float | None = None
    """Standard deviation over the trials (n − 1), in percentage points; none below two trials."""
    interval: Interval | None = None
    """95 % interval of the mean (Student's t), in percent."""
    difference: float | None = None
    """Mean minus the full set's mean, in percentage points."""
    difference_interval: Interval | None = None
    """90 % interval of the difference (Welch's t), in percentage points."""
    p_equivalent: float | None = None
    """p-value of equivalence with the full set (two one-sided tests), by Holm's correction."""
    p_worse: float | None = None
    """p-value of being worse than the full set (one-sided test), by Holm's correction."""
    outcome: Outcome | None = None
    """Compared with the full set; none where there is nothing to compare."""
    trials_to_decide: int | None = None
    """Where undecided: about how many trials would decide; none if no such number is known."""


@dataclass(frozen=True)
class Verdict:
    """What a study found."""

    margin: float
    """Largest difference that does not matter, in percentage points."""
    sentence: str
    equivalent_fraction: float | None
    """Smallest fraction whose semantic subset is equivalent, none larger being worse; or none."""
    cells: tuple[Cell, ...]
    """Full set first, then by selector, larger fractions first."""
    advantages: tuple[Advantage, ...] = ()
    """Semantic against random subsets, larger fractions first."""

    @property
    def redundant_fraction(self) -> float | None:
        """Largest share of the data set shown to be redundant; none where none was shown."""
        kept = self.equivalent_fraction
        return None if kept is None else round(1 - kept, 10)

    @property
    def full(self) -> Cell | None:
        """The full set's cell."""
        return next((cell for cell in self.cells if cell.selector == FULL), None)


def judge(dataset: str, results: Sequence[TrialResult], margin: float) -> Verdict:
    """Compare every selector and fraction with the full set.

    *equivalent*: two one-sided tests place the difference within ±margin. *worse*: a one-sided test
    places it below zero, and it is not equivalent. *undecided*: anything else, as with too few
    trials. Each claim about the fractions of a selector is wrong with a chance of 5 % at most, all
    of them together (Holm's correction).

    Parameters
    ----------
    dataset
        What to call the data set.
    results
        All trials.
    margin
        Largest difference that does not matter, in percentage points.
    """
    groups: dict[tuple[str, float], list[TrialResult]] = {}
    for result in results:
        groups.setdefault((result.trial.selector, result.trial.fraction), []).append(result)
    full = _accuracies(groups.get((FULL, 1.0), []))
    cells: list[Cell] = []
    for selector in dict.fromkeys([FULL, *(selector for selector, _ in groups)]):
        fractions = sorted((f for s, f in groups if s == selector), reverse=True)
        family = [(f, groups[selector, f]) for f in fractions]
        described = [_describe(selector, fraction, group) for fraction, group in family]
        if selector != FULL and len(full):
            compared = [_accuracies(group) for _, group in family]
            described = _decide(described, compared, full, margin)
        cells += described
    semantic = [cell for cell in cells if cell.selector == "semantic"]
    sound = takewhile(lambda cell: cell.outcome != "worse", semantic)
    equivalent = min((c.fraction for c in sound if c.outcome == "equivalent"), default=None)
    return Verdict(
        margin,
        _sentence(dataset, cells, equivalent, margin),
        equivalent,
        tuple(cells),
        _semantic_against_random(groups),
    )


def _accuracies(group: Sequence[TrialResult]) -> Accuracies:
    finished = [result.test_accuracy for result in group if result.test_accuracy is not None]
    return 100 * np.array(finished, dtype=np.float64)


def _describe(selector: str, fraction: float, group: Sequence[TrialResult]) -> Cell:
    accuracies = _accuracies(group)
    n = len(accuracies)
    cell = Cell(selector, fraction, group[0].n_train, trials=n, failed=len(group) - n)
    if n > 0:
        cell = replace(cell, mean=float(accuracies.mean()))
    if n > 1:
        low, high = DescrStatsW(accuracies).tconfint_mean()
        deviation = float(accuracies.std(ddof=1))
        cell = replace(cell, deviation=deviation, interval=(float(low), float(high)))
    return cell


def _decide(
    cells: Sequence[Cell], accuracies: Sequence[Accuracies], full: Accuracies, margin: float
) -> list[Cell]:
    """Compare all fractions of a selector with the full set."""
    compared = [compare(group, full, margin) if len(group) else None for group in accuracies]
    equivalent = _corrected(compared, lambda comparison: comparison.p_equivalent)
    worse = _corrected(compared, lambda comparison: comparison.p_worse)
    decided = []
    for cell, group, comparison, p_equivalent, p_worse in zip(
        cells, accuracies, compared, equivalent, worse, strict=True
    ):
        if comparison is None:
            decided.append(cell)
            continue
        outcome: Outcome = "undecided"
        if p_equivalent is not None and p_equivalent <= LEVEL:
            outcome = "equivalent"
        elif p_worse is not None and p_worse <= LEVEL:
            outcome = "worse"
        needed = None
        if outcome == "undecided" and comparison.interval is not None:
            deviation = float(np.sqrt((group.var(ddof=1) + full.var(ddof=1)) / 2))
            so_far = max(len(group), len(full))
            # At the strictest level of Holm's procedure: enough whatever the other fractions do.
            level = LEVEL / sum(p is not None for p in equivalent)
            needed = trials_to_decide(so_far, comparison.difference, deviation, margin, level)
        decided.append(
            replace(
                cell,
                difference=comparison.difference,
                difference_interval=comparison.interval,
                p_equivalent=p_equivalent,
                p_worse=p_worse,
                outcome=outcome,
                trials_to_decide=needed,
            )
        )
    return decided


def _corrected(
    compared: Sequence[Comparison | None], p_value: Callable[[Comparison], float | None]
) -> list[float | None]:
    """Return the p-values by Holm's correction, in place."""
    values = [None if comparison is None else p_value(comparison) for comparison in compared]
    corrected = iter(holm([value for value in values if value is not None]))
    return [None if value is None else next(corrected) for value in values]


def _semantic_against_random(
    groups: dict[tuple[str, float], list[TrialResult]],
) -> tuple[Advantage, ...]:
    found = []
    for fraction in sorted({f for _, f in groups}, reverse=True):
        semantic, random = (
            {
                result.trial.seed: 100 * result.test_accuracy
                for result in groups.get((selector, fraction), [])
                if result.test_accuracy is not None
            }
            for selector in ("semantic", "random")
        )
        one = advantage(fraction, semantic, random)
        if one is not None:
            found.append(one)
    corrected = holm([one.p_value for one in found])
    return tuple(replace(one, p_value=p) for one, p in zip(found, corrected, strict=True))


def _sentence(dataset: str, cells: Sequence[Cell], equivalent: float | None, margin: float) -> str:
    """Say in words what was found."""
    if not any(cell.selector == FULL and cell.trials for cell in cells):
        return (
            f"No verdict on {dataset}: no training on the full set has finished; sweep.fractions"
            " needs 1.0."
        )
    compared = {c.fraction: c for c in cells if c.selector == "semantic" and c.trials}
    if not compared:
        return (
            f"No verdict on {dataset}: no training on a semantic subset has finished;"
            " sweep.selectors needs semantic, and sweep.fractions one below 1."
        )
    chosen = compared[max(compared) if equivalent is None else equivalent]
    percent = f"{100 * chosen.fraction:g} %"
    redundant = f"{100 * (1 - chosen.fraction):g} %"
    if chosen.outcome == "worse":
        return (
            f"No redundancy of {dataset} is shown: training on the semantic {percent} subset is"
            f" worse than on the full set by {-(chosen.difference or 0):.2f} points"
            f" ({_evidence(chosen)})."
        )
    if chosen.outcome == "undecided":
        return (
            f"Undecided whether {redundant} of {dataset} is redundant: training on the semantic"
            f" {percent} subset differs from the full set by {chosen.difference:+.2f} points"
            f" ({_evidence(chosen)}), which is shown neither to lie within ±{margin:g} points nor"
            f" to be a loss; {_what_decides(chosen, margin)}."
        )
    random = next(
        (c for c in cells if c.selector == "random" and c.fraction == chosen.fraction and c.trials),
        None,
    )
    return (
        f"{redundant} of {dataset} is redundant: training on the semantic {percent} subset is"
        f" equivalent to the full set within ±{margin:g} points ({_evidence(chosen)})"
        + (f"; a random {percent} subset is {_in_words(random)}" if random else "")
        + "."
    )


def _evidence(cell: Cell) -> str:
    trials = f"{cell.trials} trial" + ("s" if cell.trials > 1 else "")
    if cell.difference_interval is None:
        return trials
    low, high = cell.difference_interval
    return f"90 % CI {low:+.2f} to {high:+.2f}, {trials}"


def _what_decides(cell: Cell, margin: float) -> str:
    if cell.difference_interval is None:
        return "it takes two trials at least: rayred run FILE --trials 2"
    if cell.trials_to_decide is not None:
        needed = cell.trials_to_decide
        return f"about {needed} trials would decide: rayred run FILE --trials {needed}"
    if (cell.difference or 0) >= margin:
        return "as it looks, the subset is better than the full set by more than the margin"
    return f"{MOST_TRIALS:,} trials would not decide"


def _in_words(cell: Cell) -> str:
    if cell.outcome == "equivalent":
        return "equivalent as well"
    if cell.outcome == "worse":
        return f"worse by {-(cell.difference or 0):.2f} points"
    needed = cell.trials_to_decide
    return "not shown to be" + (f" (about {needed} trials would decide)" if needed else "")

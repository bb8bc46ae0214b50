"""What the trials prove: statistics of every fraction and selector, and the sentence on top.

Accuracies are given in percent, differences in percentage points.

Source of the equivalence test: Schuirmann, A comparison of the two one-sided tests procedure
(1987): a 90 % interval of the difference inside the margin is two one-sided tests at 5 %.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from rayred.results import TrialResult

FULL = "full"
Interval = tuple[float, float]
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
    outcome: Outcome | None = None
    """Compared with the full set; none where there is nothing to compare."""


@dataclass(frozen=True)
class Verdict:
    """What a study found."""

    margin: float
    """Largest difference that does not matter, in percentage points."""
    sentence: str
    equivalent_fraction: float | None
    """Smallest fraction whose semantic subset, as all larger ones, is equivalent; or none."""
    cells: tuple[Cell, ...]
    """Full set first, then by selector, larger fractions first."""

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

    *equivalent*: the 90 % interval of the difference lies within ±margin. *worse*: it lies below
    zero and is not equivalent. *undecided*: anything else, as with too few trials.

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
    selectors = [FULL, *(selector for selector, _ in groups if selector != FULL)]
    full = _accuracies(groups.get((FULL, 1.0), []))
    cells = tuple(
        _cell(selector, fraction, group, full, margin)
        for (selector, fraction), group in sorted(
            groups.items(), key=lambda item: (selectors.index(item[0][0]), -item[0][1])
        )
    )
    equivalent = None
    for cell in (cell for cell in cells if cell.selector == "semantic"):
        # Tested one after another, larger subsets first, up to the first that fails: so the chance
        # of a false claim stays 5 % however many fractions there are (Maurer et al. 1995).
        if cell.outcome != "equivalent":
            break
        equivalent = cell.fraction
    return Verdict(margin, _sentence(dataset, cells, equivalent, margin), equivalent, cells)


def _accuracies(group: Sequence[TrialResult]) -> NDArray[np.float64]:
    finished = [result.test_accuracy for result in group if result.test_accuracy is not None]
    return 100 * np.array(finished, dtype=np.float64)


def _cell(
    selector: str,
    fraction: float,
    group: Sequence[TrialResult],
    full: NDArray[np.float64],
    margin: float,
) -> Cell:
    accuracies = _accuracies(group)
    n = len(accuracies)
    cell = Cell(selector, fraction, group[0].n_train, trials=n, failed=len(group) - n)
    if n == 0:
        return cell
    mean = float(accuracies.mean())
    cell = replace(cell, mean=mean)
    if n > 1:
        deviation = float(accuracies.std(ddof=1))
        half = float(stats.t.ppf(0.975, n - 1)) * deviation / n**0.5
        cell = replace(cell, deviation=deviation, interval=(mean - half, mean + half))
    if selector == FULL or not len(full):
        return cell
    interval = _difference_interval(accuracies, full)
    return replace(
        cell,
        difference=mean - float(full.mean()),
        difference_interval=interval,
        outcome=_outcome(interval, margin),
    )


def _difference_interval(a: NDArray[np.float64], b: NDArray[np.float64]) -> Interval | None:
    if min(len(a), len(b)) < 2:
        return None
    if a.std() == b.std() == 0:
        # No spread at all: Welch's interval is undefined there, and its limit is the point.
        return (float(a.mean() - b.mean()),) * 2
    with warnings.catch_warnings():
        # One of the two may have no spread, as where all trials classify the same images right.
        warnings.filterwarnings("ignore", message="Precision loss occurred")
        low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.90)
    return float(low), float(high)


def _outcome(interval: Interval | None, margin: float) -> Outcome:
    if interval is None:
        return "undecided"
    low, high = interval
    if -margin < low and high < margin:
        return "equivalent"
    return "worse" if high < 0 else "undecided"


def _sentence(dataset: str, cells: Sequence[Cell], equivalent: float | None, margin: float) -> str:
    if not any(cell.selector == FULL and cell.trials for cell in cells):
        return (
            f"No verdict on {dataset}: no training on the full set has finished; sweep.fractions"
            " needs 1.0."
        )
    at = {cell.selector: cell for cell in cells if cell.fraction == equivalent}
    chosen = at.get("semantic")
    if chosen is None or chosen.difference_interval is None:
        return (
            f"No redundancy of {dataset} is shown: the largest semantic subset was not found"
            f" equivalent to the full set within ±{margin:g} points."
        )
    low, high = chosen.difference_interval
    text = (
        f"{100 * (1 - chosen.fraction):g} % of {dataset} is redundant: training on the semantic"
        f" {100 * chosen.fraction:g} % subset is equivalent to the full set within ±{margin:g}"
        f" points (90 % interval of the difference {low:+.2f} to {high:+.2f}, {chosen.trials}"
        " trials)"
    )
    random = at.get("random")
    if random is not None and random.difference is not None:
        text += f"; a random {100 * random.fraction:g} % subset is "
        text += {
            "equivalent": "equivalent as well",
            "worse": f"worse by {-random.difference:.2f} points",
        }.get(random.outcome or "", "not shown to be")
    return text + "."

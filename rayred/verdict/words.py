"""The verdict in one sentence.

>>> cells = [
...     Cell("full", 1.0, 1000, trials=1, failed=0, mean=90.0),
...     Cell("semantic", 0.9, 900, 1, 0, mean=89.9, difference=-0.1, outcome="undecided"),
... ]
>>> print(verdict_sentence("digits", cells, None, margin=0.25).partition(";")[2].strip())
it takes two trials at least: rayred run FILE --trials 2.
"""

from __future__ import annotations

from collections.abc import Sequence

from rayred.config.sweep import GIVEN
from rayred.results.trial import FULL, subject
from rayred.verdict.cells import Cell
from rayred.verdict.planning import MOST_TRIALS


def verdict_sentence(
    dataset: str, cells: Sequence[Cell], equivalent: float | None, margin: float, nothing: str = ""
) -> str:
    """Return the main finding of a study as a sentence.

    It is about the semantic, or the given, subset of the equivalent fraction; without one, about
    the largest one.

    Parameters
    ----------
    dataset
        Name of the data set.
    cells
        All cells, compared with the full set.
    equivalent
        Fraction whose subset is claimed to be equivalent to the full set; `None` if there is none.
    margin
        The margin of equivalence, in percentage points.
    nothing
        Why nothing is claimed; empty if claims are possible.
    """
    full = [cell for cell in cells if cell.selector == FULL]
    selector = subject(cell.selector for cell in cells)
    ours = [cell for cell in cells if cell.selector == selector]
    finished = {cell.fraction: cell for cell in ours if cell.trials}
    if not any(cell.trials for cell in full):
        nothing = _none_finished(full, "the full set", "sweep.fractions needs 1.0")
    elif not finished:
        setting = "sweep.selectors needs semantic, and sweep.fractions one below 1"
        what = "the given subset" if selector == GIVEN else "semantic subsets"
        nothing = _none_finished(ours, what, setting)
    if nothing:
        return f"No verdict on {dataset}: {nothing}."
    chosen = finished[max(finished) if equivalent is None else equivalent]
    if chosen.outcome == "worse":
        return _worse(dataset, chosen)
    if chosen.outcome == "undecided":
        return _undecided(dataset, chosen, next(c for c in full if c.trials), margin)
    of_random = (c for c in cells if c.selector == "random" and c.fraction == chosen.fraction)
    return _equivalent(dataset, chosen, next((c for c in of_random if c.trials), None), margin)


def _none_finished(cells: Sequence[Cell], what: str, setting: str) -> str:
    """Return why there is no finished training, with the setting if none was planned."""
    failed = sum(cell.failed for cell in cells)
    if not failed:
        return f"no training on {what} has finished; {setting}"
    count = "the only training" if failed == 1 else f"all {failed} trainings"
    return f"{count} on {what} failed: {cells[0].failure.rstrip('.')}"


def _worse(dataset: str, cell: Cell) -> str:
    return (
        f"No redundancy of {dataset} is shown: training on the {cell.selector} {_percent(cell)}"
        f" subset is worse than on the full set by {-(cell.difference or 0):.2f} points"
        f" ({_evidence(cell)})."
    )


def _undecided(dataset: str, cell: Cell, full: Cell, margin: float) -> str:
    return (
        f"Undecided whether {_redundant(cell)} of {dataset} is redundant: training on the"
        f" {cell.selector} {_percent(cell)} subset differs from the full set by"
        f" {cell.difference:+.2f} points"
        f" ({_evidence(cell)}), which is shown neither to lie within ±{margin:g} points nor"
        f" to be a loss{_alone(cell, margin)}; {_missing_trials(cell, full, margin)}."
    )


def _alone(cell: Cell, margin: float) -> str:
    """Return what keeps an interval from showing what it shows if one looks at it alone."""
    low, high = cell.difference_interval or (-margin, margin + 1)
    shows = high < 0 or (-margin < low and high < margin)
    return " where all comparisons of the table are allowed for" if shows else ""


def _equivalent(dataset: str, cell: Cell, random: Cell | None, margin: float) -> str:
    subset = _percent(cell)
    return (
        f"{_redundant(cell)} of {dataset} is redundant: training on the {cell.selector} {subset}"
        f" subset is equivalent to the full set within ±{margin:g} points ({_evidence(cell)})"
        + (f"; a random {subset} subset is {_random_outcome(random)}" if random else "")
        + "."
    )


def _percent(cell: Cell) -> str:
    return f"{100 * cell.fraction:g} %"


def _redundant(cell: Cell) -> str:
    return f"{100 * (1 - cell.fraction):g} %"


def _evidence(cell: Cell) -> str:
    """Return the interval of the difference, if there is one, and the number of trials."""
    trials = f"{cell.trials} trial" + ("s" if cell.trials > 1 else "")
    if cell.difference_interval is None:
        return trials
    low, high = cell.difference_interval
    return f"90 % CI {low:+.2f} to {high:+.2f}, {trials}"


def _missing_trials(cell: Cell, full: Cell, margin: float) -> str:
    """Return how many trials would decide an undecided comparison, or why none would."""
    if min(cell.trials, full.trials) < 2:
        return f"it takes two trials at least: {_command(cell)} --trials 2"
    if cell.difference_interval is None:
        return "trials without any spread can be judged only with the number of test images"
    if cell.trials_to_decide is not None:
        needed = cell.trials_to_decide
        return f"about {needed} trials would decide: {_command(cell)} --trials {needed}"
    if (cell.difference or 0) >= margin:
        return "as it looks, the subset is better than the full set by more than the margin"
    images = ""
    if cell.image_error is not None:
        images = f", as the error of the test images alone is ±{cell.image_error:.2f} points"
    return f"{MOST_TRIALS:,} trials would not decide{images}"


def _command(cell: Cell) -> str:
    """Return the command that makes more trials of a study."""
    return "rayred verify DIR" if cell.selector == GIVEN else "rayred run FILE"


def _random_outcome(cell: Cell) -> str:
    """Return the outcome of a random subset, beside an equivalent semantic one of its size."""
    if cell.outcome == "equivalent":
        return "equivalent as well"
    if cell.outcome == "worse":
        return f"worse by {-(cell.difference or 0):.2f} points"
    needed = cell.trials_to_decide
    return "not shown to be" + (f" (about {needed} trials would decide)" if needed else "")

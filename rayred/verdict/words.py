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

from rayred.results.trial import FULL
from rayred.verdict.cells import Cell
from rayred.verdict.comparison import MOST_TRIALS


def verdict_sentence(
    dataset: str, cells: Sequence[Cell], equivalent: float | None, margin: float
) -> str:
    """Return the main finding of a study as a sentence.

    It is about the semantic subset of the equivalent fraction; without one, about the largest
    semantic subset.

    Parameters
    ----------
    dataset
        Name of the data set.
    cells
        All cells, compared with the full set.
    equivalent
        Fraction whose semantic subset is claimed to be equivalent to the full set; `None` if there
        is none.
    margin
        The margin of equivalence, in percentage points.
    """
    if not any(cell.selector == FULL and cell.trials for cell in cells):
        return (
            f"No verdict on {dataset}: no training on the full set has finished; sweep.fractions"
            " needs 1.0."
        )
    semantic = {c.fraction: c for c in cells if c.selector == "semantic" and c.trials}
    if not semantic:
        return (
            f"No verdict on {dataset}: no training on a semantic subset has finished;"
            " sweep.selectors needs semantic, and sweep.fractions one below 1."
        )
    chosen = semantic[max(semantic) if equivalent is None else equivalent]
    if chosen.outcome == "worse":
        return _worse(dataset, chosen)
    if chosen.outcome == "undecided":
        return _undecided(dataset, chosen, margin)
    of_random = (c for c in cells if c.selector == "random" and c.fraction == chosen.fraction)
    return _equivalent(dataset, chosen, next((c for c in of_random if c.trials), None), margin)


def _worse(dataset: str, cell: Cell) -> str:
    return (
        f"No redundancy of {dataset} is shown: training on the semantic {_percent(cell)} subset is"
        f" worse than on the full set by {-(cell.difference or 0):.2f} points ({_evidence(cell)})."
    )


def _undecided(dataset: str, cell: Cell, margin: float) -> str:
    return (
        f"Undecided whether {_redundant(cell)} of {dataset} is redundant: training on the semantic"
        f" {_percent(cell)} subset differs from the full set by {cell.difference:+.2f} points"
        f" ({_evidence(cell)}), which is shown neither to lie within ±{margin:g} points nor"
        f" to be a loss; {_missing_trials(cell, margin)}."
    )


def _equivalent(dataset: str, cell: Cell, random: Cell | None, margin: float) -> str:
    subset = _percent(cell)
    return (
        f"{_redundant(cell)} of {dataset} is redundant: training on the semantic {subset} subset is"
        f" equivalent to the full set within ±{margin:g} points ({_evidence(cell)})"
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


def _missing_trials(cell: Cell, margin: float) -> str:
    """Return how many trials would decide an undecided comparison, or why none would."""
    if cell.difference_interval is None:
        return "it takes two trials at least: rayred run FILE --trials 2"
    if cell.trials_to_decide is not None:
        needed = cell.trials_to_decide
        return f"about {needed} trials would decide: rayred run FILE --trials {needed}"
    if (cell.difference or 0) >= margin:
        return "as it looks, the subset is better than the full set by more than the margin"
    return f"{MOST_TRIALS:,} trials would not decide"


def _random_outcome(cell: Cell) -> str:
    """Return the outcome of a random subset, beside an equivalent semantic one of its size."""
    if cell.outcome == "equivalent":
        return "equivalent as well"
    if cell.outcome == "worse":
        return f"worse by {-(cell.difference or 0):.2f} points"
    needed = cell.trials_to_decide
    return "not shown to be" + (f" (about {needed} trials would decide)" if needed else "")

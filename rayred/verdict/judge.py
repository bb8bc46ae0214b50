"""The verdict of a study: every selector and fraction compared with the full set.

Accuracies are in percent, differences in percentage points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from rayred.results.trial import FULL, TestSplit, TrialResult, subject
from rayred.verdict.advantage import Advantage, against_random
from rayred.verdict.cells import Cell, Outcome, compare_with_full, describe
from rayred.verdict.classes import with_classes
from rayred.verdict.obstacles import obstacle
from rayred.verdict.trials import Trials
from rayred.verdict.words import verdict_sentence

Groups = Mapping[tuple[str, float], Sequence[TrialResult]]
"""Trials by selector and fraction."""


@dataclass(frozen=True)
class Verdict:
    """The findings of a study."""

    margin: float
    """Margin of equivalence: the largest difference that does not matter, in percentage points."""
    sentence: str
    """The main finding in one sentence."""
    equivalent_fraction: float | None
    """Smallest fraction whose subset, semantic or given, is equivalent to the full set while no
    larger one is worse; `None` if there is none."""
    cells: tuple[Cell, ...]
    """The full set first, then selector by selector, larger fractions first."""
    advantages: tuple[Advantage, ...] = ()
    """Semantic or given subsets compared with random ones, larger fractions first."""
    obstacle: str = ""
    """Why nothing is claimed, whatever the differences are; empty if claims are possible."""

    @property
    def redundant_fraction(self) -> float | None:
        """Largest share of the data set shown to be redundant; `None` if none was shown."""
        kept = self.equivalent_fraction
        return None if kept is None else round(1 - kept, 10)

    @property
    def full(self) -> Cell | None:
        """The cell of the full set; `None` if there is none."""
        return next((cell for cell in self.cells if cell.selector == FULL), None)


def judge(
    dataset: str, results: Sequence[TrialResult], margin: float, test: TestSplit | None = None
) -> Verdict:
    """Compare every selector and fraction with the full set.

    The outcome of a comparison is *equivalent* if two one-sided tests place the difference within
    ±margin, otherwise *worse* if a one-sided test places it below zero, otherwise *undecided*, as
    with too few trials. The chance that any claim of the table is wrong is at most 5 %: see
    `claims`. All intervals and tests contain the error of the trials and of the test images: see
    `crossed`.

    Nothing is claimed where all test images are of one class, where they are too few for the
    margin, and where the full set is not shown to be learned better than by chance.

    Parameters
    ----------
    dataset
        Name of the data set, for the sentence.
    results
        All trials, finished and failed. An accuracy that is NaN counts as failed.
    margin
        The largest difference that does not matter, in percentage points.
    test
        The test split, with the class of each image if accuracies of single classes are wanted.
        None if its size is unknown: then its error is left out, so that intervals
        and p-values are about this test split alone, whether anything can be claimed at all is
        not checked, and trials without any spread are not compared.
    """
    groups: dict[tuple[str, float], list[TrialResult]] = {}
    for result in results:
        groups.setdefault((result.trial.selector, result.trial.fraction), []).append(result)
    n = test.n if test is not None and test.n else None
    trials = {key: Trials.of(group, n) for key, group in groups.items()}
    cells = {
        (selector, fraction): describe(selector, fraction, group, trials[selector, fraction], n)
        for (selector, fraction), group in _ordered(groups)
    }
    full = trials.get((FULL, 1.0))
    nothing = ""
    if full is not None and len(full):
        subsets = [key for key in cells if key[0] != FULL]
        if test is not None and n:
            several = sum(min(cells[key].trials, len(full)) > 1 for key in subsets)
            nothing = obstacle(test, full, margin, several)
        compared = compare_with_full(
            [cells[key] for key in subsets], [trials[key] for key in subsets], full, margin, n
        )
        cells |= dict(zip(subsets, map(_unclaimed, compared) if nothing else compared, strict=True))
    others = {key: None if key[0] == FULL else full for key in cells}
    table = tuple(with_classes(cells[key], trials[key], others[key], test) for key in cells)
    equivalent = _equivalent_fraction(table)
    sentence = verdict_sentence(dataset, table, equivalent, margin, nothing)
    advantages = () if nothing else against_random(trials, n)
    return Verdict(margin, sentence, equivalent, table, advantages, nothing)


def _ordered(groups: Groups) -> list[tuple[tuple[str, float], Sequence[TrialResult]]]:
    """Return the groups, the full set first, then selector by selector, larger fractions first."""
    selectors = list(dict.fromkeys([FULL, *(selector for selector, _ in groups)]))
    return sorted(groups.items(), key=lambda item: (selectors.index(item[0][0]), -item[0][1]))


def _unclaimed(cell: Cell) -> Cell:
    """Return a cell without what is claimed of it."""
    outcome: Outcome | None = None if cell.outcome is None else "undecided"
    return replace(cell, p_equivalent=None, p_worse=None, outcome=outcome, trials_to_decide=None)


def _equivalent_fraction(cells: Sequence[Cell]) -> float | None:
    """Return the smallest fraction that is equivalent while no larger one is worse."""
    selector = subject(cell.selector for cell in cells)
    ours = [cell for cell in cells if cell.selector == selector]
    before_a_loss = takewhile(lambda cell: cell.outcome != "worse", ours)
    return min((c.fraction for c in before_a_loss if c.outcome == "equivalent"), default=None)

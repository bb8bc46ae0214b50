"""The verdict of a study: every selector and fraction compared with the full set.

Accuracies are in percent, differences in percentage points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from rayred.results.trial import FULL, TrialResult
from rayred.verdict.cells import Cell, accuracies_of, compare_with_full, describe
from rayred.verdict.comparison import Advantage, advantage, holm
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
    """Smallest fraction whose semantic subset is equivalent to the full set while no larger one is
    worse; `None` if there is none."""
    cells: tuple[Cell, ...]
    """The full set first, then selector by selector, larger fractions first."""
    advantages: tuple[Advantage, ...] = ()
    """Semantic compared with random subsets, larger fractions first."""

    @property
    def redundant_fraction(self) -> float | None:
        """Largest share of the data set shown to be redundant; `None` if none was shown."""
        kept = self.equivalent_fraction
        return None if kept is None else round(1 - kept, 10)

    @property
    def full(self) -> Cell | None:
        """The cell of the full set; `None` if there is none."""
        return next((cell for cell in self.cells if cell.selector == FULL), None)


def judge(dataset: str, results: Sequence[TrialResult], margin: float) -> Verdict:
    """Compare every selector and fraction with the full set.

    The outcome of a comparison is *equivalent* if two one-sided tests place the difference within
    ±margin, otherwise *worse* if a one-sided test places it below zero, otherwise *undecided*, as
    with too few trials. The chance that any claim of one kind about the fractions of one selector
    is wrong is at most 5 % (Holm's correction).

    Parameters
    ----------
    dataset
        Name of the data set, for the sentence.
    results
        All trials, finished and failed.
    margin
        The largest difference that does not matter, in percentage points.
    """
    groups: dict[tuple[str, float], list[TrialResult]] = {}
    for result in results:
        groups.setdefault((result.trial.selector, result.trial.fraction), []).append(result)
    cells: list[Cell] = []
    for selector in dict.fromkeys([FULL, *(selector for selector, _ in groups)]):
        cells += _cells_of(selector, groups, margin)
    equivalent = _equivalent_fraction(cells)
    return Verdict(
        margin,
        verdict_sentence(dataset, cells, equivalent, margin),
        equivalent,
        tuple(cells),
        _semantic_against_random(groups),
    )


def _cells_of(selector: str, groups: Groups, margin: float) -> list[Cell]:
    """Return the cells of a selector, larger fractions first, compared with the full set."""
    fractions = sorted((f for s, f in groups if s == selector), reverse=True)
    cells = [describe(selector, fraction, groups[selector, fraction]) for fraction in fractions]
    full = accuracies_of(groups.get((FULL, 1.0), []))
    if selector == FULL or not len(full):
        return cells
    accuracies = [accuracies_of(groups[selector, fraction]) for fraction in fractions]
    return compare_with_full(cells, accuracies, full, margin)


def _equivalent_fraction(cells: Sequence[Cell]) -> float | None:
    """Return the smallest fraction that is equivalent while no larger one is worse."""
    semantic = [cell for cell in cells if cell.selector == "semantic"]
    before_a_loss = takewhile(lambda cell: cell.outcome != "worse", semantic)
    return min((c.fraction for c in before_a_loss if c.outcome == "equivalent"), default=None)


def _semantic_against_random(groups: Groups) -> tuple[Advantage, ...]:
    """Return the comparison of semantic with random subsets at each fraction that allows one."""
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

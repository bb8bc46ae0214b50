"""How often verdicts about planted truth are right, undecided and wrong.

Legend: M test images, T trials.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from benchmarks.evidence.tables import Table, interval
from rayred.results.trial import TestSplit, Trial, TrialResult, pack_correct
from rayred.verdict.judge import Verdict, judge

SELECTORS = ("full", "semantic", "random")
OUTCOMES = ("equivalent", "undecided", "worse", "no claim possible")
PLACES = (("planted", True), ("needed", False))
"""Training sets of which a share are copies, and those in which all images differ."""

Note = Mapping[str, Any]
"""What is noted of a repetition."""


def of_verdicts(done: Sequence[Note], margins: Sequence[float]) -> Table:
    """Return how often the verdict about each subset has each outcome, and is right and wrong.

    The truth is the mean difference of all repetitions, given with its 90 % interval and their
    standard deviation. "Equivalent" is right if the truth is within the margin, "worse" if it is
    below zero; between the two, both are, and no verdict can be wrong. Of the wrong ones there is
    the 95 % interval of Clopper and Pearson, in percent.
    """
    rows = []
    for (name, planted), share, selector in product(PLACES, _shares(done), SELECTORS[1:]):
        mine = [one for one in done if (one["share"], one["planted"]) == (share, planted)]
        differences = np.array([_difference(one, selector) for one in mine])
        for margin in margins if mine else ():
            truth = interval(differences)
            row: dict[str, Any] = {"set": name, "share": share, "subset": selector}
            row |= {"n": len(mine), "difference": [round(value, 2) for value in truth]}
            row["deviation"] = round(float(differences.std(ddof=1)), 2) if len(mine) > 1 else None
            outcomes = [_outcome(one, selector, margin) for one in mine]
            rows.append(row | _counts(outcomes, margin, truth[0]))
    return rows


def of_alike(done: Sequence[Note], margins: Sequence[float]) -> Table:
    """Return the outcomes of verdicts that compare half of the full set's trials with the others.

    Their true difference is zero, so that "worse" is wrong.
    """
    rows = []
    for margin in margins:
        outcomes = []
        for one in done:
            trials = one["correct"]["full"]
            halves = {"full": trials[::2], "random": trials[1::2]}
            outcomes.append(_outcome({**one, "correct": halves}, "random", margin))
        rows.append({"n": len(done), **_counts(outcomes, margin, 0.0)})
    return rows


def of_pairs(done: Sequence[Note]) -> Table:
    """Return precision and recall of planted pairs by space and fraction, means of repetitions."""
    rows = []
    planted = [one for one in done if one["planted"]]
    for share, space in product(_shares(planted), ("reference", "pixels")):
        mine = [one["pairs"][space] for one in planted if one["share"] == share]
        for fraction in mine[0]:
            scores = np.array([one[fraction] for one in mine], float)
            precision, recall = np.round(scores.mean(axis=0), 3).tolist()
            row = {"share": share, "space": space, "fraction": fraction, "n": len(mine)}
            rows.append(row | {"precision": precision, "recall": recall})
    return rows


def judged(one: Note, margins: Sequence[float]) -> dict[str, Any]:
    """Return a repetition with accuracies and outcomes in place of results per image."""
    row = {name: one[name] for name in ("share", "planted", "number", "cpu", "pairs")}
    for selector in SELECTORS:
        row[selector] = [round(100 * float(share), 3) for share in _correct(one, selector).mean(1)]
    for margin in margins:
        row[f"outcomes within {margin:g}"] = {
            selector: _outcome(one, selector, margin) for selector in SELECTORS[1:]
        }
    return row


def _counts(outcomes: Sequence[str], margin: float, truth: float) -> dict[str, Any]:
    counts = Counter(outcomes)
    right = counts["equivalent"] * (abs(truth) < margin) + counts["worse"] * (truth < 0)
    wrong = counts["equivalent"] + counts["worse"] - right
    chance = binomtest(wrong, len(outcomes)).proportion_ci()
    limits = [round(100 * float(limit), 1) for limit in (chance.low, chance.high)]
    named = {name: counts[name] for name in OUTCOMES}
    return {"margin": margin, **named, "right": right, "wrong": wrong, "wrong, %": limits}


def _outcome(one: Note, selector: str, margin: float) -> str:
    verdict = _verdict(one, margin)
    if verdict.obstacle:
        return OUTCOMES[-1]
    cell = next(cell for cell in verdict.cells if cell.selector == selector)
    return str(cell.outcome)


def _verdict(one: Note, margin: float) -> Verdict:
    """Return the verdict about the trials of a repetition."""
    results = []
    for selector in one["correct"]:
        fraction = 1.0 if selector == "full" else 1 - one["share"]
        for seed, correct in enumerate(_correct(one, selector)):
            trial = Trial(selector, fraction, seed, seed, selector)
            accuracy, bits = float(correct.mean()), pack_correct(correct)
            results.append(TrialResult(trial, 0, "finished", accuracy, 0.0, correct=bits))
    return judge("planted", results, margin, TestSplit(tuple(one["test_sizes"])))


def _correct(one: Note, selector: str) -> NDArray[np.bool_]:
    """Return (T, M): which test images each trial classifies correctly."""
    packed = [np.frombuffer(bytes.fromhex(bits), np.uint8) for bits in one["correct"][selector]]
    return np.unpackbits(np.array(packed), axis=1, count=sum(one["test_sizes"])).astype(bool)


def _difference(one: Note, selector: str) -> float:
    """Return the difference of mean accuracies from the full set, in points."""
    return 100 * float(_correct(one, selector).mean() - _correct(one, "full").mean())


def _shares(done: Sequence[Note]) -> list[float]:
    return sorted({one["share"] for one in done})

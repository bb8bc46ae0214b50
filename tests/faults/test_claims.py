"""What a verdict must not claim, and what it says instead."""

from __future__ import annotations

import numpy as np
import pytest

from rayred.results.trial import TestSplit as Split
from rayred.results.trial import Trial, TrialResult, pack_correct
from rayred.verdict.claims import corrected
from rayred.verdict.comparison import compare
from rayred.verdict.crossed import Group
from rayred.verdict.judge import judge

FULL = [0.900, 0.901, 0.899, 0.902, 0.898]
BALANCED = Split((500,) * 4)


def trials(
    selector: str, fraction: float, accuracies: list[float | None], reason: str = "killed"
) -> list[TrialResult]:
    return [
        TrialResult(Trial(selector, fraction, n, n, ""), 100, "failed", reason=reason)
        if accuracy is None
        else TrialResult(Trial(selector, fraction, n, n, ""), 100, "finished", accuracy, 1.0)
        for n, accuracy in enumerate(accuracies)
    ]


def on_images(selector: str, fraction: float, results: np.ndarray) -> list[TrialResult]:
    """Trials of which it is kept what they classify correctly."""
    return [
        TrialResult(
            Trial(selector, fraction, n, n, ""),
            100,
            "finished",
            float(right.mean()),
            1.0,
            correct=pack_correct(right),
        )
        for n, right in enumerate(results)
    ]


def right_on(share: float, n: int, trials: int = 3) -> np.ndarray:
    """Trials that are all right on the same images."""
    return np.repeat([np.arange(n) < round(share * n)], trials, axis=0)


def test_all_claims_of_a_table_are_corrected_together():
    alone = judge("x", trials("full", 1.0, FULL) + trials("semantic", 0.9, FULL), 0.25).cells[1]
    table = trials("full", 1.0, FULL)
    for selector in ("semantic", "random"):
        for fraction in (0.9, 0.8, 0.7):
            table += trials(selector, fraction, FULL)
    for cell in judge("x", table, 0.25).cells[1:]:
        assert cell.p_equivalent == pytest.approx(6 * alone.p_equivalent)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("share", [0.9, 1.0])
def test_trials_of_equal_accuracy_have_the_error_of_the_test_images(share, kept):
    right = right_on(share, BALANCED.n, trials=2)
    table = [
        result if kept else TrialResult(result.trial, 100, "finished", result.test_accuracy, 1.0)
        for selector, fraction in (("full", 1.0), ("semantic", 0.9), ("random", 0.9))
        for result in on_images(selector, fraction, right)
    ]
    verdict = judge("x", table, 0.3, BALANCED)
    assert not verdict.obstacle
    for cell in verdict.cells[1:]:
        low, high = cell.difference_interval
        assert low < 0 < high
        assert cell.p_equivalent > 0
        assert cell.interval[0] < cell.mean <= cell.interval[1]
    (one,) = verdict.advantages
    assert one.interval[0] < 0 < one.interval[1]
    assert one.p_value == pytest.approx(1)


def test_images_are_paired_where_results_per_image_are_kept():
    rng = np.random.default_rng(0)
    full = right_on(0.8, BALANCED.n) ^ (rng.random((3, BALANCED.n)) < 0.02)
    subset = right_on(0.8, BALANCED.n) ^ (rng.random((3, BALANCED.n)) < 0.02)
    kept = on_images("full", 1.0, full) + on_images("semantic", 0.9, subset)
    bare = trials("full", 1.0, list(full.mean(axis=1)))
    bare += trials("semantic", 0.9, list(subset.mean(axis=1)))
    widths = [
        np.diff(judge("x", table, 1.0, test).cells[1].difference_interval)
        for table, test in ((bare, None), (kept, BALANCED), (bare, BALANCED))
    ]
    assert widths[0] <= widths[1] < widths[2]


def test_images_lost_in_all_trials_are_a_loss_only_if_they_are_many():
    full = right_on(0.9, BALANCED.n, trials=5)
    outcomes = {}
    for lost in (1, 40, 100):  # 40 of 2,000 are the margin
        subset = full.copy()
        subset[:, :lost] = False
        table = on_images("full", 1.0, full) + on_images("semantic", 0.9, subset)
        outcomes[lost] = judge("x", table, 2.0, BALANCED).cells[1].outcome
    assert outcomes == {1: "equivalent", 40: "worse", 100: "worse"}


def test_nothing_is_claimed_at_chance():
    constant = right_on(0.25, BALANCED.n)
    table = on_images("full", 1.0, constant) + on_images("semantic", 0.5, constant)
    verdict = judge("x", table, 5.0, BALANCED)
    assert verdict.cells[1].outcome == "undecided"
    assert verdict.cells[1].p_equivalent is None
    assert verdict.equivalent_fraction is None
    assert "is not shown to be above chance, the 25.00 % of" in verdict.sentence


def test_chance_is_the_share_of_the_largest_class():
    right = right_on(0.7, 1000)
    table = on_images("full", 1.0, right) + on_images("semantic", 0.5, right)
    assert judge("x", table, 5.0, Split((700, 300))).equivalent_fraction is None
    assert judge("x", table, 5.0, Split((500, 500))).equivalent_fraction == 0.5


@pytest.mark.parametrize("sizes", [(2000,), (2000, 0)])
def test_nothing_is_claimed_with_one_class(sizes):
    right = right_on(1.0, 2000)
    table = on_images("full", 1.0, right) + on_images("semantic", 0.5, right)
    verdict = judge("x", table, 5.0, Split(sizes))
    assert verdict.cells[1].outcome == "undecided"
    assert verdict.sentence == (
        "No verdict on x: all test images are of one class, so that accuracies say nothing."
    )


def test_nothing_is_claimed_with_too_few_test_images_for_the_margin():
    right = right_on(1.0, 20)
    table = on_images("full", 1.0, right) + on_images("semantic", 0.5, right)
    verdict = judge("x", table, 1.0, Split((10, 10)))
    assert verdict.cells[1].outcome == "undecided"
    # 0.99 ** 299 is the first below 0.05.
    assert verdict.sentence == (
        "No verdict on x: 20 test images are too few for a margin of ±1 points: even if all"
        " trainings agreed on every one of them, that could not place the difference within the"
        " margin. At least 299 test images are needed, or a verdict.margin of 13.92 or more."
    )


def test_accuracies_that_are_no_numbers_count_as_failed():
    nan = float("nan")
    table = trials("full", 1.0, FULL) + trials("semantic", 0.9, [*FULL[:4], nan])
    cell = judge("x", table, 0.25, BALANCED).cells[1]
    assert (cell.trials, cell.failed) == (4, 1)
    assert cell.failure == "its test accuracy is not a number"
    table = trials("full", 1.0, FULL) + trials("semantic", 0.9, [nan, nan])
    assert judge("x", table, 0.25).sentence == (
        "No verdict on x: all 2 trainings on semantic subsets failed:"
        " its test accuracy is not a number."
    )


def test_trainings_that_all_failed_are_said_to_have_failed():
    failed = trials("semantic", 0.9, [None] * 2) + trials("semantic", 0.8, [None])
    sentence = judge("x", trials("full", 1.0, FULL) + failed, 0.25).sentence
    assert sentence == "No verdict on x: all 3 trainings on semantic subsets failed: killed."
    sentence = judge("x", trials("full", 1.0, [None]) + failed, 0.25).sentence
    assert sentence == "No verdict on x: the only training on the full set failed: killed."


def test_at_most_5_percent_of_tables_hold_a_false_claim():
    rng = np.random.default_rng(3)
    drops, margin, tables = np.array([0.0, 0, 0, 1, 1, 1]), 0.0025, 4000
    true = 0.9 - margin * np.array([0.0, *drops])
    accuracies = rng.normal(true[:, None], 0.002, (tables, 7, 10))
    nan = np.full((tables, 7), np.nan)
    numbers = (np.full((tables, 7), 10.0), accuracies.mean(2), accuracies.var(2, ddof=1), nan, nan)
    full, subsets = (Group(*(x[:, part] for x in numbers)) for part in (slice(1), slice(1, 7)))
    test = compare(subsets, full, margin)
    equivalent, worse = (p <= 0.05 for p in corrected(test.p_equivalent, test.p_worse))
    false = np.where(drops == 1, equivalent, worse & ~equivalent).any(axis=1)
    assert false.mean() <= 0.05 + 3 * (0.05 * 0.95 / tables) ** 0.5
    assert false.any()
    # It is what a verdict says.
    names = [("full", 1.0), *(("semantic", f) for f in (0.9, 0.8, 0.7))]
    names += [("random", f) for f in (0.9, 0.8, 0.7)]
    for table in range(5):
        made = [
            result
            for name, cell in zip(names, accuracies[table], strict=True)
            for result in trials(*name, list(cell))
        ]
        outcomes = [cell.outcome for cell in judge("x", made, 100 * margin).cells[1:]]
        assert [one == "equivalent" for one in outcomes] == equivalent[table].tolist()
        assert [one != "undecided" for one in outcomes] == (equivalent | worse)[table].tolist()

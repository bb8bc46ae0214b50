"""Verdicts of small made-up studies, and their sentences."""

import numpy as np
import pytest
from scipy import stats

from rayred.report.table import format_table
from rayred.results.trial import TestSplit as Split
from rayred.results.trial import Trial, TrialResult, pack_correct
from rayred.verdict.judge import judge


def results(**groups: list[float | None]) -> list[TrialResult]:
    """Results of groups such as ``semantic_90=[0.8, None]``; None is a failed trial."""
    made = []
    for name, accuracies in groups.items():
        selector, percent = name.split("_")
        for number, accuracy in enumerate(accuracies):
            trial = Trial(selector, int(percent) / 100, number, number, name)
            status = "failed" if accuracy is None else "finished"
            made.append(TrialResult(trial, 10 * int(percent), status, accuracy, 1.0))
    return made


FULL = [0.900, 0.901, 0.899, 0.902, 0.898]


def test_statistics_are_scipys():
    semantic = [0.89, 0.91, 0.90, 0.895, 0.905]
    cell = judge("x", results(full_100=FULL, semantic_90=semantic), 0.25).cells[1]
    percent = 100 * np.array(semantic)
    assert cell.mean == pytest.approx(percent.mean())
    assert cell.deviation == pytest.approx(percent.std(ddof=1))
    expected = stats.t.interval(0.95, 4, percent.mean(), stats.sem(percent))
    assert cell.interval == pytest.approx(expected)
    welch = stats.ttest_ind(percent, 100 * np.array(FULL), equal_var=False)
    assert cell.difference_interval == pytest.approx(tuple(welch.confidence_interval(0.9)))
    assert cell.n_train == 900


@pytest.mark.parametrize(
    ("accuracies", "outcome"),
    [
        ([0.900, 0.901, 0.899, 0.901, 0.899], "equivalent"),
        ([0.880, 0.881, 0.879, 0.881, 0.879], "worse"),
        ([0.880, 0.920, 0.870, 0.930, 0.900], "undecided"),
        ([0.900], "undecided"),
    ],
)
def test_three_outcomes(accuracies, outcome):
    verdict = judge("x", results(full_100=FULL, semantic_90=accuracies), 0.25)
    assert verdict.cells[1].outcome == outcome
    assert verdict.redundant_fraction == (0.1 if outcome == "equivalent" else None)


def test_the_sentence_names_the_smallest_equivalent_subset():
    verdict = judge(
        "cifar10",
        results(
            full_100=FULL,
            semantic_90=FULL,
            semantic_80=FULL,
            semantic_70=[a - 0.02 for a in FULL],
            random_80=[a - 0.01 for a in FULL],
        ),
        0.3,
    )
    assert verdict.redundant_fraction == 0.2
    assert verdict.sentence == (
        "20 % of cifar10 is redundant: training on the semantic 80 % subset is equivalent to the"
        " full set within ±0.3 points (90 % CI -0.19 to +0.19, 5 trials); a random 80 % subset is"
        " worse by 1.00 points."
    )


def test_a_smaller_subset_is_claimed_unless_a_larger_one_is_worse():
    undecided = [0.88, 0.92, 0.87, 0.93, 0.90]
    worse = [a - 0.02 for a in FULL]
    verdict = judge("x", results(full_100=FULL, semantic_90=undecided, semantic_80=FULL), 0.3)
    assert [cell.outcome for cell in verdict.cells[1:]] == ["undecided", "equivalent"]
    assert verdict.equivalent_fraction == 0.8
    verdict = judge("x", results(full_100=FULL, semantic_90=worse, semantic_80=FULL), 0.3)
    assert [cell.outcome for cell in verdict.cells[1:]] == ["worse", "equivalent"]
    assert verdict.equivalent_fraction is None
    assert verdict.sentence.startswith(
        "No redundancy of x is shown: training on the semantic 90 % subset is worse than on the"
        " full set by 2.00 points"
    )


def test_p_values_are_corrected_for_all_claims_of_the_table():
    alone = judge("x", results(full_100=FULL, semantic_90=FULL), 0.25)
    among = judge(
        "x",
        results(full_100=FULL, random_90=FULL, **{f"semantic_{p}": FULL for p in (90, 80, 70)}),
        0.25,
    )
    assert alone.cells[1].outcome == "equivalent"
    for cell in among.cells[1:]:
        assert cell.p_equivalent == pytest.approx(4 * alone.cells[1].p_equivalent)
        assert cell.outcome == "undecided"
    assert among.sentence.count("where all comparisons of the table are allowed for") == 1
    # The number of trials that would decide is that for this table.
    assert among.cells[1].trials_to_decide > 5


def test_an_undecided_study_says_how_many_trials_would_decide():
    wide = [0.900, 0.904, 0.896, 0.902, 0.898]
    verdict = judge("x", results(full_100=wide, semantic_90=wide), 0.25)
    cell = verdict.cells[1]
    assert cell.outcome == "undecided"
    assert cell.trials_to_decide == 29
    assert verdict.sentence == (
        "Undecided whether 10 % of x is redundant: training on the semantic 90 % subset differs"
        " from the full set by +0.00 points (90 % CI -0.37 to +0.37, 5 trials), which is shown"
        " neither to lie within ±0.25 points nor to be a loss; about 29 trials would decide:"
        " rayred run FILE --trials 29."
    )
    one = judge("x", results(full_100=[0.9], semantic_90=[0.89]), 0.25)
    assert one.sentence.endswith("it takes two trials at least: rayred run FILE --trials 2.")
    better = judge("x", results(full_100=FULL, semantic_90=[a + 0.01 for a in FULL]), 0.25)
    assert better.cells[1].trials_to_decide is None
    assert "better than the full set by more than the margin" in better.sentence


def test_semantic_is_compared_with_random_in_pairs_of_the_same_seed():
    random = [0.88, 0.90, 0.86, 0.91, 0.87]
    semantic = [0.89, 0.912, 0.87, 0.919, 0.881]
    (one,) = judge("x", results(semantic_90=semantic, random_90=random), 0.25).advantages
    test = stats.ttest_rel(100 * np.array(semantic), 100 * np.array(random))
    assert one.paired
    assert one.p_value == pytest.approx(test.pvalue)
    assert one.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert one.difference == pytest.approx(1.04)
    (one,) = judge("x", results(semantic_90=semantic[:4], random_90=random), 0.25).advantages
    test = stats.ttest_ind(100 * np.array(semantic[:4]), 100 * np.array(random), equal_var=False)
    assert not one.paired
    assert one.p_value == pytest.approx(test.pvalue)


def test_failed_trials_count_in_nothing_else():
    cell = judge("x", results(full_100=FULL, semantic_90=[0.9, None, 0.9]), 0.25).cells[1]
    assert (cell.trials, cell.failed, cell.deviation) == (2, 1, 0.0)
    nothing = judge("x", results(full_100=FULL, semantic_90=[None]), 0.25).cells[1]
    assert (nothing.trials, nothing.mean, nothing.outcome) == (0, None, None)


def test_without_the_full_set_there_is_no_verdict():
    verdict = judge("x", results(semantic_90=FULL), 0.25)
    assert "sweep.fractions needs 1.0" in verdict.sentence
    assert verdict.cells[0].difference is None


def test_without_a_semantic_subset_there_is_no_verdict():
    verdict = judge("x", results(full_100=FULL, random_90=FULL), 0.25)
    assert "sweep.selectors needs semantic" in verdict.sentence


def test_trials_without_any_spread_are_compared_with_the_error_of_the_images_only():
    same = results(full_100=[0.9] * 3, semantic_90=[0.9] * 3)
    unknown = judge("x", same, 0.25)
    assert unknown.cells[1].difference_interval is None
    assert unknown.cells[1].outcome == "undecided"
    assert unknown.sentence.endswith("can be judged only with the number of test images.")
    low, high = judge("x", same, 0.25, Split((5000, 5000))).cells[1].difference_interval
    assert low < -0.25
    assert high > 0.25


def test_table_has_a_line_a_cell_and_the_sentence():
    verdict = judge("x", results(full_100=FULL, semantic_90=FULL, random_90=[None]), 0.25)
    lines = format_table(verdict).splitlines()
    assert lines[0].split()[:3] == ["selector", "fraction", "images"]
    assert lines[2].startswith("full")
    assert "(1 failed)" in lines[4]
    assert lines[-1] == verdict.sentence


def test_a_given_subset_is_what_the_verdict_is_about():
    drop = [0.880, 0.881, 0.879, 0.881, 0.879]
    trials = results(full_100=FULL, given_90=FULL[::-1], random_90=drop)
    verdict = judge("pets", trials, 0.25)
    assert verdict.redundant_fraction == 0.1
    assert verdict.sentence.startswith(
        "10 % of pets is redundant: training on the given 90 % subset is equivalent to the full set"
    )
    assert [one.selector for one in verdict.advantages] == ["given"]
    assert "given − random at 0.9: +2.00 points" in format_table(verdict)
    failed = judge("pets", results(full_100=FULL, given_90=[None]), 0.25)
    assert "the only training on the given subset failed" in failed.sentence
    worse = judge("pets", results(full_100=FULL, given_90=drop), 0.25).sentence
    assert "training on the given 90 % subset is worse" in worse
    once = judge("pets", results(full_100=FULL[:1], given_90=FULL[:1]), 0.25).sentence
    assert "two trials at least: rayred verify DIR --trials 2" in once


def by_image(selector: str, fraction: float, *correct: str) -> list[TrialResult]:
    """A result for each text, which says of each test image whether it is right."""
    found = [np.array([sign == "1" for sign in text]) for text in correct]
    return [
        TrialResult(
            Trial(selector, fraction, number, number, ""),
            10,
            "finished",
            one.mean(),
            1.0,
            correct=pack_correct(one),
        )
        for number, one in enumerate(found)
    ]


CLASSES = Split((4, 4), ("cat", "dog"), np.array([0, 0, 0, 0, 1, 1, 1, 1]))


def test_the_worst_class_is_that_with_the_lowest_mean_over_the_trials():
    # By trial the lowest are cat (25 %) and dog (50 %); over both trials dog is the worse.
    ours = by_image("semantic", 0.5, "11110001", "10001100")
    full = by_image("full", 1.0, "11101100", "11101110")
    cells = judge("x", full + ours, 0.25, CLASSES).cells
    assert (cells[0].worst_class, cells[0].worst_class_accuracy) == ("dog", 62.5)
    assert (cells[0].most_lost_class, cells[0].most_lost) == ("", None)
    assert (cells[1].worst_class, cells[1].worst_class_accuracy) == ("dog", 37.5)
    assert (cells[1].most_lost_class, cells[1].most_lost) == ("dog", -25.0)


def test_without_results_by_image_or_class_no_class_is_the_worst():
    kept = by_image("semantic", 0.5, "11110001")
    bare = [TrialResult(kept[0].trial, 10, "finished", 0.5, 1.0)]
    for results_of, test in ((kept, Split((4, 4))), (kept + bare, CLASSES), (kept, None)):
        (cell,) = judge("x", results_of, 0.25, test).cells
        assert (cell.worst_class, cell.worst_class_accuracy) == ("", None)

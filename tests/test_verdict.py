import numpy as np
import pytest
from scipy import stats

from rayred.report.table import format_table
from rayred.results import Trial, TrialResult
from rayred.verdict import judge


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
        0.25,
    )
    assert verdict.redundant_fraction == 0.2
    assert verdict.sentence.startswith(
        "20 % of cifar10 is redundant: training on the semantic 80 % subset is equivalent to the"
        " full set within ±0.25 points"
    )
    assert verdict.sentence.endswith("a random 80 % subset is worse by 1.00 points.")


def test_a_smaller_subset_is_claimed_only_if_all_larger_ones_hold():
    undecided = [0.88, 0.92, 0.87, 0.93, 0.90]
    verdict = judge("x", results(full_100=FULL, semantic_90=undecided, semantic_80=FULL), 0.25)
    assert verdict.cells[2].outcome == "equivalent"
    assert verdict.equivalent_fraction is None


def test_failed_trials_count_in_nothing_else():
    cell = judge("x", results(full_100=FULL, semantic_90=[0.9, None, 0.9]), 0.25).cells[1]
    assert (cell.trials, cell.failed, cell.deviation) == (2, 1, 0.0)
    nothing = judge("x", results(full_100=FULL, semantic_90=[None]), 0.25).cells[1]
    assert (nothing.trials, nothing.mean, nothing.outcome) == (0, None, None)


def test_without_the_full_set_there_is_no_verdict():
    verdict = judge("x", results(semantic_90=FULL), 0.25)
    assert "sweep.fractions needs 1.0" in verdict.sentence
    assert verdict.cells[0].difference is None


def test_trials_without_any_spread_are_compared_as_they_are():
    verdict = judge("x", results(full_100=[0.9] * 3, semantic_90=[0.9] * 3), 0.25)
    assert verdict.cells[1].difference_interval == (0.0, 0.0)
    assert verdict.cells[1].outcome == "equivalent"


def test_table_has_a_line_a_cell_and_the_sentence():
    verdict = judge("x", results(full_100=FULL, semantic_90=FULL, random_90=[None]), 0.25)
    lines = format_table(verdict).splitlines()
    assert lines[0].split()[:3] == ["selector", "fraction", "images"]
    assert lines[2].startswith("full")
    assert "(1 failed)" in lines[4]
    assert lines[-1] == verdict.sentence

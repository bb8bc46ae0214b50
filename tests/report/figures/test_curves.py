"""Test accuracy against training steps."""

from __future__ import annotations

from math import nan

import pytest

from rayred.report.figures.curves import curves_of, curves_words, draw_curves
from rayred.results.trial import Trial, TrialResult
from rayred.selection import SELECTORS
from tests.report.figures.seen import assert_readable, texts


def result(selector: str, fraction: float, trial: int, accuracies) -> TrialResult:
    curve = tuple(
        {"step": 10 * (place + 1), "epoch": 0.0, "train_loss": 1.0, "lr": 0.1, "test_accuracy": one}
        for place, one in enumerate(accuracies)
    )
    planned = Trial(selector, fraction, trial, 0, "")
    return TrialResult(planned, 10, "finished", 0.9, 1.0, curve=curve)


def test_curves_have_the_mean_and_the_range_of_their_trials():
    results = [result("full", 1.0, 0, (0.5, None, 0.9, 0.95))]
    results += [result("semantic", 0.5, n, (0.4 + 0.2 * n, 0.6, 0.8, nan)) for n in range(2)]
    curves = curves_of(results)
    assert list(curves["full", 1.0]) == [10, 30, 40]
    assert curves["semantic", 0.5][10] == pytest.approx([40, 60])
    assert list(curves["semantic", 0.5]) == [10, 20, 30]
    words = curves_words(curves)
    figure = draw_curves(curves, words.title)
    (axes,) = figure.axes
    (line,) = [line for line in axes.lines if line.get_label() == "semantic"]
    assert list(line.get_ydata()) == pytest.approx([50, 60, 80])
    assert words.title.startswith("At step 10 of 30, the semantic 50 % subset is at 50.0 %")


def test_the_title_compares_at_a_step_that_both_have():
    full = {("full", 1.0): {10: [50.0], 40: [80.0], 90: [95.0]}}
    ours = {("semantic", 0.5): {10: [40.0], 45: [85.0], 90: [90.0]}}
    assert curves_words(full | ours).title == (
        "At step 10 of 90, the semantic 50 % subset is at 40.0 %, the full set at 50.0 %"
    )
    assert curves_words(ours).title == "At step 45 of 90, the semantic 50 % subset is at 85.0 %"
    assert curves_words(full).title == "At step 40 of 90, the full set is at 80.0 %"


def test_curves_of_one_evaluation_are_none():
    assert not curves_of([result("full", 1.0, 0, (None, None, 0.9)), result("a", 0.5, 0, ())])


@pytest.mark.parametrize("selectors", [0, 1, 2, 12])
@pytest.mark.parametrize("fractions", [1, 2, 4, 7])
def test_every_selector_has_a_key_and_every_fraction_a_panel(selectors, fractions):
    names = list(SELECTORS)[:selectors]
    sizes = [round(0.9 - 0.1 * place, 2) for place in range(fractions)]
    results = [result("full", 1.0, 0, (0.5, 0.8, 0.9))]
    results += [result(name, size, 0, (0.4, 0.7, 0.9)) for name in names for size in sizes]
    curves = curves_of(results)
    figure = draw_curves(curves, curves_words(curves).title)
    assert_readable(figure)
    found = texts(figure)
    assert {"full set", *names} <= set(found)
    assert len(figure.axes) == (fractions if names else 1)


def test_no_curve_is_said():
    assert_readable(draw_curves({}, "No curve"))

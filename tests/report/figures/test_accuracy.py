"""Accuracy against the size of the training set."""

from __future__ import annotations

from math import nan

import pytest
from matplotlib.patches import Rectangle

from rayred.report.figures.accuracy import accuracy_words, draw_accuracy
from rayred.report.figures.style import COLORS, MARKERS, look_of
from rayred.results.trial import Trial, TrialResult
from rayred.selection import SELECTORS
from rayred.verdict import Verdict, judge
from tests.report.figures.seen import assert_readable, boxes, texts

NAMES = [*SELECTORS, "given"]


def result(selector: str, fraction: float, trial: int, accuracy: float | None) -> TrialResult:
    status = "failed" if accuracy is None else "finished"
    planned = Trial(selector, fraction, trial, trial, "")
    return TrialResult(planned, 100, status, accuracy, 1.0, "" if accuracy else "no loss")


def sweep(selectors: int, fractions: int, trials: int, *, full: bool = True) -> list[TrialResult]:
    """Return trials whose accuracies lie close together."""
    found = [result("full", 1.0, n, 0.93 + 0.001 * n) for n in range(trials if full else 0)]
    for place, name in enumerate(NAMES[:selectors]):
        for size in range(fractions):
            for n in range(trials):
                accuracy = 0.92 - 0.004 * size + 0.0002 * place + 0.001 * n
                found.append(result(name, round(0.9 - 0.1 * size, 2), n, accuracy))
    return found


def drawn(results: list[TrialResult], margin: float = 0.25):
    verdict = judge("digits", results, margin)
    return draw_accuracy(verdict, results, accuracy_words(verdict).title)


@pytest.mark.parametrize("selectors", [0, 1, 2, 5, 13])
@pytest.mark.parametrize(
    ("fractions", "trials", "full"), [(1, 1, True), (6, 5, True), (6, 1, False), (1, 2, False)]
)
def test_labels_do_not_overlap_and_no_text_is_cut_off(selectors, fractions, trials, full):
    figure = drawn(sweep(selectors, fractions, trials, full=full))
    assert_readable(figure)
    assert set(NAMES[:selectors]) <= set(texts(figure))


@pytest.mark.parametrize(
    "fractions", [(0.99, 0.98, 0.97, 0.5), (0.8731, 0.7, 0.5123), (0.1, 0.05, 0.01, 0.001)]
)
def test_sizes_that_lie_close_have_ticks_that_do_not_overlap(fractions):
    results = [result("full", 1.0, 0, 0.93)]
    results += [result("semantic", fraction, 0, 0.9) for fraction in fractions]
    assert_readable(drawn(results))


def test_each_trial_is_a_point_and_each_mean_lies_on_its_line():
    results = sweep(2, 3, 4)
    (axes,) = drawn(results).axes
    faint = [line for line in axes.lines if line.get_alpha() == 0.35]
    assert sum(len(line.get_xdata()) for line in faint) == 2 * 3 * 4
    (line,) = [line for line in axes.lines if line.get_label() == "random"]
    means = [
        cell.mean for cell in judge("digits", results, 0.25).cells if cell.selector == "random"
    ]
    assert line.get_ydata() == pytest.approx(means)


def test_the_margin_around_the_full_set_is_shaded():
    results = sweep(1, 2, 3)
    (axes,) = drawn(results, margin=0.5).axes
    (band,) = [one for one in axes.patches if one.get_gid() == "margin"]
    assert isinstance(band, Rectangle)
    assert (band.get_y(), band.get_height()) == pytest.approx((93.1 - 0.5, 1.0))
    low, high = axes.get_ylim()
    assert low < 92.6
    assert high > 93.6


def test_labels_are_in_the_order_of_the_ends_of_their_lines():
    found = dict(boxes(drawn(sweep(13, 3, 1))))
    heights = [found[name].y0 for name in NAMES]  # later ones have higher means
    assert heights == sorted(heights)


@pytest.mark.parametrize("accuracy", [None, nan])
def test_failed_trials_are_counted_and_not_drawn(accuracy):
    results = [*sweep(2, 2, 2), result("semantic", 0.8, 2, accuracy)]
    verdict = judge("digits", results, 0.25)
    assert "1 failed trial not shown." in accuracy_words(verdict).caption
    assert_readable(drawn(results))
    only = [result("full", 1.0, 0, 0.9), result("semantic", 0.5, 0, accuracy)]
    assert_readable(drawn(only))
    assert "semantic" not in texts(drawn(only))


def test_without_any_trial_the_figure_says_so():
    words = accuracy_words(Verdict(0.25, "None.", None, ()))
    figure = draw_accuracy(Verdict(0.25, "None.", None, ()), (), words.title)
    assert "No trial has finished." in texts(figure)
    assert_readable(figure)
    assert_readable(drawn([result("full", 1.0, 0, None)]))


def test_title_and_caption_say_what_is_seen():
    results = [result("full", 1.0, n, 0.975) for n in range(3)]
    results += [result("semantic", 0.9, n, 0.974) for n in range(3)]
    verdict = judge("digits", results, 3.0)
    words = accuracy_words(verdict)
    assert words.title == "Semantic subsets of 90 % reach 97.4 %, the full set 97.5 %"
    assert words.caption.startswith(verdict.sentence)
    assert "within ±3 points" in words.caption


@pytest.mark.parametrize("accuracy", [0.0, 1.0])
def test_equal_accuracies_at_either_end_are_drawn(accuracy):
    names = ("full", "semantic", "random")
    figure = drawn([result(name, 1.0 if name == "full" else 0.5, 0, accuracy) for name in names])
    assert_readable(figure)


def test_selectors_differ_in_colour_or_marker():
    many = len(COLORS) * len(MARKERS)
    assert len({look_of(position) for position in range(many)}) == many >= len(NAMES)


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2."""
    shares = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_stand_out_from_white():
    for color in COLORS:
        assert 1.05 / (luminance(color) + 0.05) >= 3, color

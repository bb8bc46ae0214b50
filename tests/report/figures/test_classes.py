"""Group sizes, redundancy by class, and merge heights."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from rayred.report.figures.group_sizes import draw_group_sizes, sizes_words
from rayred.report.figures.heights import draw_heights, heights_words
from rayred.report.figures.redundancy import SHOWN, draw_redundancy, redundancy_words
from tests.report.figures.seen import HOSTILE, assert_readable, texts


def points(figure) -> np.ndarray:
    """Return the points of the only scatter plot, (n, 2)."""
    (found,) = [one for one in figure.axes[0].collections if isinstance(one, PathCollection)]
    return np.asarray(found.get_offsets())


def sizes_figure(sizes: list[np.ndarray]):
    return draw_group_sizes(sizes, sizes_words(sizes, 0.9).title)


@pytest.mark.parametrize("largest", [1, 2, 13, 14, 60, 61, 500, 40_000])
def test_every_size_has_the_number_of_its_groups(largest):
    sizes = [np.array([1, 1, 2, largest]), np.array([1])]
    figure = sizes_figure(sizes)
    assert_readable(figure)
    found, counts = np.unique(np.concatenate(sizes), return_counts=True)
    np.testing.assert_array_equal(points(figure), np.column_stack([found, counts]))
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[0].get_ylim()[0] < 1


def test_sizes_are_counted_in_the_title():
    words = sizes_words([np.array([1, 1, 3]), np.array([2, 1])], 0.9)
    assert words.title == "5 images form 2 groups of up to 3, and 3 stand alone"
    assert sizes_words([np.ones(4, np.int64)], 1.0).title == "All 4 images stand alone"
    assert_readable(sizes_figure([np.ones(4, np.int64)]))
    assert_readable(sizes_figure([]))


def redundancy_figure(classes: list[str], shares: np.ndarray):
    return draw_redundancy(classes, shares, redundancy_words(classes, shares, 0.04).title)


@pytest.mark.parametrize("count", [1, 2, SHOWN, SHOWN + 1, 100, 1000])
def test_classes_are_sorted_and_those_that_do_not_fit_are_counted(count):
    names = [HOSTILE[label % len(HOSTILE)] + str(label) for label in range(count)]
    shares = np.random.default_rng(count).random(count)
    figure = redundancy_figure(names, shares)
    assert_readable(figure)
    shown = points(figure)
    assert len(shown) == min(count, SHOWN)
    assert (np.diff(shown[:, 0]) <= 0).all()
    assert shown[0, 0] == pytest.approx(100 * shares.max())
    assert shown[-1, 0] == pytest.approx(100 * shares.min())
    hidden = [text for text in texts(figure) if "classes between" in text]
    assert hidden == ([f"{count - SHOWN:,} classes between"] if count > SHOWN else [])
    caption = redundancy_words(names, shares, 0.04).caption
    assert (f"Of {count} classes" in caption) == (count > SHOWN)


def test_classes_whose_share_is_unknown_are_left_out_and_counted():
    shares = np.array([0.25, np.nan, 0.5])
    words = redundancy_words(["a", "b", "c"], shares, 0.04)
    assert words.title == "50 % of ‘c’ and 25 % of ‘a’ are redundant at a merge height of 0.040"
    assert "Left out: 1 of 3 classes" in words.caption
    assert len(points(redundancy_figure(["a", "b", "c"], shares))) == 2


@pytest.mark.parametrize("share", [np.nan, 0.0, 1.0])
def test_one_class_is_drawn(share):
    assert_readable(redundancy_figure(["a"], np.array([share])))


SHARES = (0.0, 0.1, 0.2, 0.5)


def heights_figure(heights: np.ndarray, fractions=(0.9, 0.8, 0.5), shares=SHARES):
    words = heights_words(shares, heights, fractions)
    return draw_heights(shares, heights, fractions, words.title)


def test_the_fractions_of_the_sweep_are_marked_on_the_median():
    heights = np.array([[np.nan, 0.1, 0.2, 0.5], [np.nan, 0.3, 0.4, 0.7], [np.nan, 0.2, 0.3, 0.6]])
    figure = heights_figure(heights)
    assert_readable(figure)
    assert {"kept:", "90 %", "80 %", "50 %"} <= {text.strip() for text in texts(figure)}
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in marks] == [
        pytest.approx(point) for point in ((10, 0.2), (20, 0.3), (50, 0.6))
    ]
    words = heights_words(SHARES, heights, (0.9, 0.5))
    assert words.title.startswith("Leaving out 50 % merges images up to a height of 0.60")


def test_marks_that_lie_close_are_labelled_where_there_is_room():
    fractions = tuple(round(0.99 - 0.01 * place, 2) for place in range(50))
    shares = (0.0, *(1 - fraction for fraction in fractions))
    heights = np.linspace(0.001, 1.5e-5, 51)[::-1][None]
    figure = heights_figure(heights, fractions, shares)
    assert_readable(figure)
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert len(marks) == 50


def test_heights_that_are_unknown_are_not_drawn():
    assert_readable(heights_figure(np.full((2, 4), np.nan)))
    some = np.array([[np.nan, 0.1, np.nan, np.nan]])
    assert_readable(heights_figure(some, fractions=()))
    assert_readable(heights_figure(some))

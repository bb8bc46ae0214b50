"""Redundant groups as pictures."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from rayred.data.dataset import Split
from rayred.report.figures.groups import draw_groups, groups_words
from rayred.report.figures.style import KEPT_COLOR, style
from rayred.report.figures.text import shortened
from rayred.report.groups import Group
from tests.report.figures.seen import HOSTILE, assert_readable, texts

SIZES = (2, 3, 10, 11, 500)


def split(classes: tuple[str, ...], shape: tuple[int, int, int] = (8, 8, 1)) -> Split:
    images = np.random.default_rng(0).integers(0, 255, (500, *shape), dtype=np.uint8)
    return Split(images, np.zeros(500, np.int64), [""] * 500, classes)


def group(label: int, size: int, kept: int = 1) -> Group:
    return Group(label, np.arange(size), kept, 0.0314)


def drawn(data: Split, groups: list[Group]):
    words = groups_words(groups, "largest", 0.9, len(groups))
    return draw_groups(data, groups, words.title)


def pictures(figure):
    """Return the extent of each image, and the boxes of those that are kept."""
    (axes,) = figure.axes
    return [image.get_extent() for image in axes.images], axes.patches


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_cut_off_with_any_name_and_number_of_images(size):
    figure = drawn(split(HOSTILE), [group(label, size) for label in range(len(HOSTILE))])
    assert_readable(figure)
    width, height = figure.get_size_inches()
    for left, right, bottom, top in pictures(figure)[0]:
        assert 0 <= left < right <= width
        assert 0 <= bottom < top <= height


@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3), (20, 100, 3), (100, 20, 1), (1, 9, 3)])
def test_images_of_any_shape_keep_their_aspect(shape):
    extents, _ = pictures(drawn(split(("a",), shape), [group(0, 12)]))
    for left, right, bottom, top in extents:
        assert (right - left) / (top - bottom) == pytest.approx(shape[1] / shape[0])
    rights = [extent[1] for extent in extents[:-1]]
    assert all(right < after[0] for right, after in zip(rights, extents[1:], strict=True))


@pytest.mark.parametrize("size", SIZES)
def test_images_that_do_not_fit_are_counted(size):
    figure = drawn(split(("a",)), [group(0, size)])
    shown = len(figure.axes[0].images)
    counts = [text for text in texts(figure) if text.startswith("+")]
    assert counts == ([f"+ {size - shown}"] if shown < size else [])
    assert shown == size or size > 10


def test_the_images_that_are_kept_come_first_and_are_boxed_in_green():
    figure = drawn(split(("a",)), [group(0, 5, kept=2), group(0, 4, kept=0)])
    extents, kept = pictures(figure)
    assert len(extents) == 9
    assert [box.get_edgecolor() for box in kept] == [(0, 158 / 255, 115 / 255, 1)] * 2
    assert KEPT_COLOR == "#009e73"
    for box, (left, right, bottom, top) in zip(kept, extents, strict=False):
        assert isinstance(box, Rectangle)
        assert box.get_bbox().extents == pytest.approx((left, bottom, right, top))


def test_what_is_said_of_a_group_is_text_and_no_mathematics():
    names = ("$x_1$", "<script>", "two\nlines")
    found = texts(drawn(split(names), [group(label, 1000 // 2) for label in range(3)]))
    assert {"$x_1$", "<script>", "two lines", "500 images, 1 kept", "height 0.031"} <= set(found)


def test_the_title_of_small_groups_is_whole():
    figure = drawn(split(("a",)), [group(0, 2)])
    title = "The largest redundant groups have up to 2 images, cut at 90 % of every class"
    assert title in texts(figure)
    assert_readable(figure)


@pytest.mark.parametrize("choice", ["largest", "tightest", "loosest", "random"])
def test_words_name_the_choice_and_the_cut(choice):
    words = groups_words([group(0, 7)], choice, 0.9, 1234)
    assert "cut at 90 % of every class" in words.title
    assert ("7 images" if choice == "largest" else "0.031") in words.title
    assert words.caption.startswith("1 of 1,234 groups")


def test_no_group_is_said():
    words = groups_words([], "largest", 0.9, 0)
    figure = draw_groups(split(("a",)), [], words.title)
    assert "No group of more than one image." in texts(figure)
    assert_readable(figure)


@pytest.mark.parametrize("name", HOSTILE)
@style()
def test_names_are_shortened_by_their_width(name):
    found = shortened(name, 0.5, 7)
    assert "\n" not in found
    assert found.isprintable()
    assert len(found) <= len(name)

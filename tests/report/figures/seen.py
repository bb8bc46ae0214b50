"""What a figure shows, by its artists: texts with their boxes in pixels."""

from __future__ import annotations

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from rayred.report.figures.style import style

HOSTILE = (
    "a class name of sixty characters, which is longer than a row",
    "猫と犬の写真",
    "שלום עולם",
    "مرحبا بالعالم",
    "<script>alert(1)</script>",
    "$x_1$",
    "two\nlines",
    "a\x00b\udcffc",
    "",
)
"""Names of classes that are hard to show."""


def boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Return all texts that are seen, with their boxes."""
    with style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        outside = {
            id(label)
            for axes in figure.axes
            for axis in (axes.xaxis, axes.yaxis)
            for tick in axis.get_major_ticks()
            for label in (tick.label1, tick.label2)
            if not _is_in(tick.get_loc(), axis.get_view_interval())
        }
        return [
            (text.get_text(), text.get_window_extent(renderer))
            for text in figure.findobj(Text)
            if text.get_visible() and text.get_text().strip() and id(text) not in outside
        ]


def _is_in(value, interval) -> bool:
    low, high = sorted(interval)
    return low - 1e-9 <= value <= high + 1e-9


def texts(figure: Figure) -> list[str]:
    return [text for text, _ in boxes(figure)]


def assert_readable(figure: Figure) -> None:
    """Assert that no text is cut off, and none lies over another."""
    found = boxes(figure)
    whole = figure.bbox
    for text, box in found:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
        assert inside, f"{text!r} is cut off: {box} of {whole}"
    for (one, a), (other, b) in combinations(found, 2):
        assert not a.padded(-0.5).overlaps(b.padded(-0.5)), f"{one!r} lies over {other!r}"
    assert figure.get_size_inches()[0] in (3.5, 7.2)
    assert {text.get_fontsize() for text in figure.findobj(Text)} <= {7, 8, 9}

"""The sheet that a figure is drawn on: its size, title, axes and files. Lengths are inches."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rayred.files import replacing
from rayred.report.figures.style import style
from rayred.report.figures.text import LINE, POINTS, balanced

COLUMN = 3.5
"""Width of a figure in one column."""
PAGE = 7.2
"""Width of a figure over both columns."""
EDGE = 0.08
"""Free space at all edges."""
TITLE_SIZE = 9
"""Points."""
TITLE_LINE = TITLE_SIZE * LINE / POINTS
BELOW_TITLE = 0.1
LEFT, BOTTOM = 0.55, 0.42
"""Space for the labels of the y axis and of the x axis; `fit_left` makes the first one fit."""
STEPS = (1, 2, 2.5, 5, 10)
"""Distances of ticks that read well."""


def new_sheet(width: float, height: float, title: str) -> Figure:
    """Return an empty figure with its title at the top left, on as many lines as it takes.

    Parameters
    ----------
    width
        Of the figure.
    height
        Of the space below the title: the figure is higher.
    title
        One sentence, without an end.
    """
    lines = balanced(title, width - 2 * EDGE, TITLE_SIZE)
    total = height + EDGE + len(lines) * TITLE_LINE + BELOW_TITLE
    figure = Figure(figsize=(width, total))
    figure.text(
        EDGE / width,
        1 - EDGE / total,
        "\n".join(lines),
        ha="left",
        va="top",
        fontsize=TITLE_SIZE,
        linespacing=LINE,
        gid="title",
    )
    return figure


def add_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes at a place in inches from the lower left corner of the figure."""
    whole, total = figure.get_size_inches()
    return figure.add_axes((left / whole, bottom / total, width / whole, height / total))


def fit_left(figure: Figure, axes: Axes) -> None:
    """Move the left end of axes so that the labels of the y axis begin at the edge of the figure.

    The limits and labels of the axes are final.
    """
    canvas = FigureCanvasAgg(figure)
    labels = axes.yaxis.get_tightbbox(canvas.get_renderer())
    if labels is None:
        return
    place = axes.get_position()
    shift = EDGE / float(figure.get_size_inches()[0]) - float(labels.x0) / figure.bbox.width
    axes.set_position((place.x0 + shift, place.y0, place.width - shift, place.height))


def add_blank(figure: Figure, height: float) -> Axes:
    """Return axes over all that is below the title, whose units are inches and show no frame."""
    width = float(figure.get_size_inches()[0])
    axes = add_axes(figure, 0, 0, width, height)
    axes.set(xlim=(0, width), ylim=(0, height), autoscale_on=False)
    axes.set_axis_off()
    return axes


def say_nothing_to_show(width: float, title: str, sentence: str) -> Figure:
    """Return a figure that says why it shows nothing."""
    figure = new_sheet(width, 0.4, title)
    axes = add_blank(figure, 0.4)
    axes.text(EDGE, 0.25, sentence, va="center")
    return figure


def save(figure: Figure, path: Path, title: str) -> None:
    """Write a figure to a PNG file, and to an SVG file beside it; each appears whole.

    The same figure gives the same bytes.
    """
    with style():
        with replacing(path) as temporary:
            figure.savefig(temporary)
        with replacing(path.with_suffix(".svg")) as temporary:
            figure.savefig(temporary, metadata={"Date": None, "Title": title})

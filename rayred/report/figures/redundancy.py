"""The redundant share of every class at one height. Lengths on the sheet are inches.

Legend: C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rayred.report.figures.sheet import (
    BOTTOM,
    COLUMN,
    EDGE,
    STEPS,
    add_axes,
    new_sheet,
    say_nothing_to_show,
)
from rayred.report.figures.style import COLORS, FULL_COLOR, style
from rayred.report.figures.text import Words, rounded, shortened, width_of

SHOWN = 40
"""Most classes shown: half of them the most redundant ones."""
ROW = 0.14
NAMES = 1.5
"""Most width of class names."""
NAME_SIZE = 7
"""Points."""
IN_TITLE = 1.0
"""Most width of a class name in the title."""


@style()
def redundancy_words(classes: Sequence[str], shares: NDArray[np.float64], height: float) -> Words:
    """Return what the figure of redundant shares shows.

    Parameters
    ----------
    classes
        C names.
    shares
        (C,) redundant share of each class, 0 to 1; NaN where it is not known.
    height
        The common height: a cosine distance.
    """
    order = _order(shares)
    at = f"at a merge height of {rounded(height)}"
    if not len(order):
        return Words(f"No class is known to be redundant {at}", "")
    first, last = order[0], order[-1]
    title = f"{_percent(shares[first])} of {_quoted(classes[first])}"
    if len(order) > 1:
        title += f" and {_percent(shares[last])} of {_quoted(classes[last])}"
    caption = (
        f"Share of each class that groups merged up to one height, {height:.3g}, make redundant."
        " All trees shown reach this height. Dashed: mean of the classes."
    )
    if len(order) > SHOWN:
        half = SHOWN // 2
        caption += f" Of {len(order)} classes, the {half} most and the {half} least redundant."
    if unknown := len(shares) - len(order):
        caption += f" Left out: {unknown} of {len(shares)} classes, whose trees end below it."
    return Words(f"{title} are redundant {at}", caption)


@style()
def draw_redundancy(classes: Sequence[str], shares: NDArray[np.float64], title: str) -> Figure:
    """Draw the redundant share of each class, the most redundant at the top.

    Where there are more than `SHOWN`, those between the most and the least redundant ones are left
    out, and their number is written between. `classes` are C names, `shares` (C,) 0 to 1.
    """
    order = _order(shares)
    if not len(order):
        return say_nothing_to_show(COLUMN, title, "No tree reaches a merge.")
    hidden = max(0, len(order) - SHOWN)
    half = SHOWN // 2
    shown = order if not hidden else np.concatenate([order[:half], order[-half:]])
    rows = np.arange(len(shown)) + (1.0 if hidden else 0.0) * (np.arange(len(shown)) >= half)
    high = (rows[-1] + 1.4) * ROW
    names = [shortened(classes[label], NAMES, NAME_SIZE) for label in shown]
    left = EDGE + max(width_of(name, NAME_SIZE) for name in names) + 0.1
    figure = new_sheet(COLUMN, BOTTOM + high, title)
    axes = add_axes(figure, left, BOTTOM, COLUMN - left - 0.2, high)
    values = 100 * shares[shown]
    axes.hlines(rows, 0, values, color=COLORS[0], lw=0.8, alpha=0.5)
    axes.scatter(values, rows, s=12, color=COLORS[0], zorder=3, clip_on=False, lw=0)
    axes.axvline(100 * float(np.mean(shares[order])), color=FULL_COLOR, lw=0.8, ls="--")
    axes.set_xlim(0, min(100.0, 1.08 * float(values.max()) or 1.0))
    axes.set_ylim(rows[-1] + 0.7, -0.7)
    axes.set_yticks(rows, names, fontsize=NAME_SIZE)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.set_xlabel("redundant images (% of the class)")
    if hidden:
        _say_hidden(axes, half, hidden)
    return figure


def _say_hidden(axes: Axes, row: int, hidden: int) -> None:
    text = f"{hidden:,} classes between"
    middle = sum(axes.get_xlim()) / 2
    label = axes.text(middle, row, text, va="center", ha="center", fontsize=NAME_SIZE)
    label.set_bbox({"color": "white", "pad": 1})


def _order(shares: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the classes whose share is known, the most redundant first."""
    order = np.argsort(-shares, kind="stable")
    return order[np.isfinite(shares[order])]


def _quoted(name: str) -> str:
    return f"‘{shortened(name, IN_TITLE, NAME_SIZE)}’"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"

"""How many groups there are of each size. Lengths on the sheet are inches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator
from numpy.typing import NDArray

from rayred.report.figures.sheet import (
    BOTTOM,
    COLUMN,
    EDGE,
    LEFT,
    add_axes,
    fit_left,
    new_sheet,
    say_nothing_to_show,
)
from rayred.report.figures.style import COLORS, FULL_COLOR, style
from rayred.report.figures.text import Words, counted, percent

HIGH = 1.7
LEAST = 0.7
"""Lower end of the axis of counts, so that a single group is seen."""
LARGE = 60
"""Size of a group from which on the axis of sizes is logarithmic too."""
HUGE = 1000
"""Size from which on that axis has room for powers of ten alone."""


def sizes_words(sizes: Sequence[NDArray[np.int64]], fraction: float) -> Words:
    """Return what the figure of group sizes shows; `sizes` are those of each class's groups."""
    found = _joined(sizes)
    alone, groups = int((found == 1).sum()), found[found > 1]
    cut = f"cut at {percent(fraction)} of every class"
    caption = f"Number of groups of each size, all classes together, {cut}; counts are on a"
    caption += " logarithmic axis. Grey: images that are alone in their group."
    if not len(groups):
        return Words(f"All {counted(alone, 'image')} stand alone", caption)
    title = (
        f"{counted(int(groups.sum()), 'image')} form {counted(len(groups), 'group')} of up to"
        f" {groups.max():,}, and {alone:,} stand alone"
    )
    return Words(title, caption)


@style()
def draw_group_sizes(sizes: Sequence[NDArray[np.int64]], title: str) -> Figure:
    """Draw the number of groups by size, on a logarithmic axis of counts.

    Parameters
    ----------
    sizes
        The group sizes of each class.
    title
        The title.
    """
    found = _joined(sizes)
    if not len(found):
        return say_nothing_to_show(COLUMN, title, "There is no group.")
    figure = new_sheet(COLUMN, BOTTOM + HIGH, title)
    axes = add_axes(figure, LEFT, BOTTOM, COLUMN - LEFT - EDGE, HIGH)
    size, count = np.unique(found, return_counts=True)
    colors = [FULL_COLOR if one == 1 else COLORS[0] for one in size]
    axes.set_yscale("log")
    axes.scatter(size, count, c=colors, s=14 if size[-1] <= LARGE else 7, zorder=3, lw=0)
    axes.set_ylim(LEAST, 1.6 * count.max())
    if size[-1] > LARGE:
        axes.set_xscale("log")
        axes.set_xlim(0.85, 1.2 * size[-1])
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if size[-1] <= HUGE else (1,)))
    else:
        axes.vlines(size, LEAST, count, color=colors, lw=1.2)
        axes.set_xlim(0.4, size[-1] + 0.6)
        axes.xaxis.set_major_locator(FixedLocator(range(1, size[-1] + 1, 1 + size[-1] // 13)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axis.set_minor_formatter(lambda *_: "")
    axes.set_xlabel("images in the group")
    axes.set_ylabel("groups")
    fit_left(figure, axes)
    return figure


def _joined(sizes: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *sizes])

"""Merge height against the share of images that is merged away. Lengths on the sheet are inches.

Legend: C classes, G shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rayred.report.figures.sheet import (
    BOTTOM,
    COLUMN,
    LEFT,
    add_axes,
    fit_left,
    new_sheet,
    say_nothing_to_show,
)
from rayred.report.figures.style import COLORS, FULL_COLOR, style
from rayred.report.figures.text import Words, percent, rounded, width_of

HIGH = 1.9
ABOVE = 0.17
"""Space for the marks of the fractions."""
RIGHT = 0.25
MARK_SIZE = 7
"""Points."""
MARK_GAP = 0.06
"""Least distance of two labels."""
MARK_SPACE = 0.03
"""Between the axes and the labels."""
OUTER = (10, 90)
"""Percentiles of the classes that the darker band is between."""


def heights_words(
    shares: Sequence[float], heights: NDArray[np.float64], fractions: Sequence[float]
) -> Words:
    """Return what the figure of merge heights shows.

    Parameters
    ----------
    shares
        G shares of every class that are merged away, ascending, 0 to 1; among them 1 − fraction
        of all `fractions`.
    heights
        (C, G) height of the last of these merges in each class; NaN where it is not known.
    fractions
        Shares kept, those of the sweep below 1.
    """
    known = np.flatnonzero(np.isfinite(heights).any(axis=0)).tolist()
    caption = (
        "Height of the merge at which a share of a class is left out. Line: median of the"
        f" classes; bands: from the {OUTER[0]}th to the {OUTER[1]}th percentile, and from the"
        " lowest to the highest class. Marks: shares kept in the sweep."
    )
    if not len(known):
        return Words("No merge is known", caption)
    left_out = [1 - fraction for fraction in fractions]
    at = known[-1]
    if left_out:
        at = min(known, key=lambda place: abs(shares[place] - max(left_out)))
    median = float(np.nanmedian(heights[:, at]))
    title = f"Leaving out {percent(round(shares[at], 4))} merges images up to a height of"
    return Words(f"{title} {rounded(median)} (median of the classes)", caption)


@style()
def draw_heights(
    shares: Sequence[float], heights: NDArray[np.float64], fractions: Sequence[float], title: str
) -> Figure:
    """Draw merge height against the share left out, with the fractions of the sweep marked."""
    known = np.isfinite(heights).any(axis=0)
    if not known.any():
        return say_nothing_to_show(COLUMN, title, "No merge is known.")
    figure = new_sheet(COLUMN, BOTTOM + HIGH + ABOVE, title)
    axes = add_axes(figure, LEFT, BOTTOM, COLUMN - LEFT - RIGHT, HIGH)
    x, y = 100 * np.asarray(shares)[known], heights[:, known]
    percentiles = np.nanpercentile(y, (0, OUTER[0], 50, OUTER[1], 100), axis=0)
    lowest, low, median, high, highest = percentiles
    axes.fill_between(x, lowest, highest, color=COLORS[0], alpha=0.12, lw=0)
    axes.fill_between(x, low, high, color=COLORS[0], alpha=0.2, lw=0)
    axes.plot(x, median, color=COLORS[0])
    axes.set_xlim(0, float(x[-1]) or 1.0)
    axes.set_ylim(0, 1.05 * float(highest.max()) or 1.0)
    marked = [fraction for fraction in fractions if 100 * (1 - fraction) <= x[-1] + 1e-9]
    axes.set_xlabel("images merged away (% of every class)")
    axes.set_ylabel("merge height (cosine distance)")
    fit_left(figure, axes)
    _mark(axes, marked, np.interp([100 * (1 - one) for one in marked], x, median))
    return figure


def _mark(axes: Axes, fractions: Sequence[float], medians: NDArray[np.float64]) -> None:
    """Mark fractions by lines, with a label above each that has room."""
    inches = axes.figure.dpi_scale_trans
    left, top = inches.inverted().transform(axes.transAxes.transform((0, 1)))
    label: dict[str, Any] = {"transform": inches, "va": "bottom", "fontsize": MARK_SIZE}
    begin, free = float(left), -np.inf
    for fraction, median in sorted(zip(fractions, medians, strict=True), reverse=True):
        x, text = 100 * (1 - fraction), percent(fraction)
        axes.axvline(x, color=FULL_COLOR, lw=0.6, ls=":", clip_on=False)
        axes.plot([x], [median], "o", ms=3.5, color=COLORS[0], clip_on=False, zorder=4)
        place = float(inches.inverted().transform(axes.transData.transform((x, 0)))[0])
        half = width_of(text, MARK_SIZE) / 2
        if place - half >= free:
            begin, free = min(begin, place - half), place + half + MARK_GAP
            axes.text(place, top + MARK_SPACE, text, ha="center", **label)
    if len(fractions):
        axes.text(begin - MARK_GAP, top + MARK_SPACE, "kept:", ha="right", **label)

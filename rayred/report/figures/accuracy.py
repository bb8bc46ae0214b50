"""Test accuracy against the size of the training set: every trial, and the means.

Accuracies are in percent, lengths on the sheet in inches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from rayred.report.figures.labels import EndLabel, add_end_labels
from rayred.report.figures.sheet import (
    BOTTOM,
    COLUMN,
    EDGE,
    LEFT,
    PAGE,
    STEPS,
    add_axes,
    fit_left,
    new_sheet,
    say_nothing_to_show,
)
from rayred.report.figures.style import FULL_COLOR, Look, looks_of, style
from rayred.report.figures.text import Words, counted, percent, width_of
from rayred.results.trial import FULL, TrialResult, subject
from rayred.verdict import Cell, Verdict
from rayred.verdict.trials import is_finished

LABEL_SIZE = 7
"""Points."""
LABEL_GAP = 0.13
LABEL_SPACE = 0.3
"""From the end of a line to its label."""
IN_A_COLUMN = 4
"""Most selectors of a figure that is one column wide."""
APART = 0.3
"""Part of the least distance of two sizes over which the points of one size are spread."""
TICK_SPACE = 0.06
"""Least space between the labels of two sizes."""


def accuracy_words(verdict: Verdict) -> Words:
    """Return what the figure of accuracies shows."""
    finished = [cell for cell in verdict.cells if cell.mean is not None]
    failed = sum(cell.failed for cell in verdict.cells)
    trials = max((cell.trials for cell in finished), default=0)
    reading = [
        verdict.sentence,
        f"Faint points are single trials (up to {trials} of a size), lines join their means.",
    ]
    if _full_mean(verdict) is not None:
        reading.append(
            f"Dashed: the mean of the full set; shaded: within ±{verdict.margin:g} points of it."
        )
    if failed:
        reading.append(f"{counted(failed, 'failed trial')} not shown.")
    return Words(_title(verdict), " ".join(reading))


def _title(verdict: Verdict) -> str:
    full = _full_mean(verdict)
    about_full = "" if full is None else f"the full set {full:.1f} %"
    ours = subject(cell.selector for cell in verdict.cells)
    cells = {c.fraction: c for c in verdict.cells if c.selector == ours and c.mean is not None}
    if not cells:
        return f"No {ours} subset to compare: {about_full or 'no trial has finished'}"
    equivalent = verdict.equivalent_fraction
    cell = cells[equivalent if equivalent in cells else max(cells)]
    said = f"{ours.capitalize()} subsets of {percent(cell.fraction)} reach {cell.mean:.1f} %"
    return f"{said}, {about_full}" if about_full else said


def _full_label(verdict: Verdict) -> str:
    return f"full set ±{verdict.margin:g}"


def _full_mean(verdict: Verdict) -> float | None:
    return None if verdict.full is None else verdict.full.mean


@style()
def draw_accuracy(verdict: Verdict, results: Sequence[TrialResult], title: str) -> Figure:
    """Draw test accuracy against the share of the training images, the full set to the left.

    Parameters
    ----------
    verdict
        Means, and the margin.
    results
        All trials; those that failed are not shown.
    title
        The title.
    """
    cells = [cell for cell in verdict.cells if cell.mean is not None and np.isfinite(cell.mean)]
    if not cells:
        return say_nothing_to_show(COLUMN, title, "No trial has finished.")
    selectors = list(dict.fromkeys(c.selector for c in verdict.cells if c.selector != FULL))
    width = COLUMN if len(selectors) <= IN_A_COLUMN else PAGE
    labels = max(width_of(name, LABEL_SIZE) for name in [*selectors, _full_label(verdict)])
    high = max(0.52 * width, (len(selectors) + 2) * LABEL_GAP)
    figure = new_sheet(width, BOTTOM + high, title)
    wide = width - LEFT - LABEL_SPACE - labels - EDGE
    axes = add_axes(figure, LEFT, BOTTOM, wide, high)
    points = _points(results)
    _set_limits(axes, cells, points, verdict, wide)
    looks, shifts = looks_of(selectors), _shifts(selectors, cells)
    ends = _draw_full(axes, verdict, points)
    for selector in selectors:
        ours = [cell for cell in cells if cell.selector == selector]
        if ours:
            look, shift = looks[selector], shifts[selector]
            main = selector == subject(selectors)
            ends.append(_draw_selector(axes, ours, points, look, shift, main=main))
    axes.set_xlabel("training images kept (% of every class)")
    axes.set_ylabel("test accuracy (%)")
    fit_left(figure, axes)
    add_end_labels(axes, ends, LABEL_SPACE, LABEL_GAP, LABEL_SIZE)
    return figure


Points = Mapping[tuple[str, float], Sequence[float]]
"""Accuracies of the finished trials, by selector and fraction."""


def _points(results: Sequence[TrialResult]) -> Points:
    points: dict[tuple[str, float], list[float]] = {}
    for result in results:
        if is_finished(result):
            key = result.trial.selector, result.trial.fraction
            points.setdefault(key, []).append(100 * (result.test_accuracy or 0.0))
    return points


def _shifts(selectors: Sequence[str], cells: Sequence[Cell]) -> dict[str, float]:
    """Return how far right the points of each selector are moved, so that none hide others."""
    sizes = np.unique([100 * cell.fraction for cell in cells])
    least = float(np.diff(sizes).min()) if len(sizes) > 1 else 10.0
    step = APART * least / max(len(selectors) - 1, 3)
    middle = (len(selectors) - 1) / 2
    return {selector: step * (middle - place) for place, selector in enumerate(selectors)}


def _set_limits(
    axes: Axes, cells: Sequence[Cell], points: Points, verdict: Verdict, width: float
) -> None:
    sizes = np.unique([100 * cell.fraction for cell in cells])
    space = 0.06 * (sizes[-1] - sizes[0]) or 5.0
    axes.set_xlim(sizes[-1] + space, sizes[0] - space)
    inches = np.diff(sizes) * width / (sizes[-1] - sizes[0] + 2 * space)
    labels = [width_of(f"{size:.4g}", LABEL_SIZE) for size in sizes]
    if len(sizes) == 1 or inches.min() >= max(labels) + TICK_SPACE:
        axes.xaxis.set_major_locator(FixedLocator(sizes.tolist()))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    values = [cell.mean or 0.0 for cell in cells]
    values += [one for some in points.values() for one in some]
    if (full := _full_mean(verdict)) is not None:
        values += [full - verdict.margin, full + verdict.margin]
    low, high = max(min(values), 0.0), min(max(values), 100.0)
    space = 0.04 * (high - low) or 1.0
    axes.set_ylim(low - space, high + space)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
    axes.grid(axis="y")


def _draw_full(axes: Axes, verdict: Verdict, points: Points) -> list[EndLabel]:
    """Draw the trials of the full set, its mean and the margin; return the label of its line."""
    if (mean := _full_mean(verdict)) is None:
        return []
    margin = verdict.margin
    axes.axhspan(mean - margin, mean + margin, color=FULL_COLOR, alpha=0.1, lw=0, gid="margin")
    axes.axhline(mean, color=FULL_COLOR, lw=0.8, ls="--")
    values = points.get((FULL, 1.0), ())
    x = [100.0] * len(values)
    axes.plot(x, values, ls="", marker="x", ms=3, color=FULL_COLOR, alpha=0.6, zorder=3)
    end = axes.get_xlim()[1]
    return [EndLabel(_full_label(verdict), (end, mean), FULL_COLOR, "")]


def _draw_selector(
    axes: Axes, cells: Sequence[Cell], points: Points, look: Look, shift: float, *, main: bool
) -> EndLabel:
    """Draw the trials and means of a selector; return the label of its line."""
    color, marker = look.color, look.marker
    for cell in cells:
        values = points.get((cell.selector, cell.fraction), ())
        axes.plot(
            [100 * cell.fraction + shift] * len(values),
            values,
            ls="",
            marker=marker,
            ms=2.5,
            mew=0,
            color=color,
            alpha=0.35,
        )
    x = [100 * cell.fraction + shift for cell in cells]
    y = [cell.mean or 0.0 for cell in cells]
    axes.plot(
        x,
        y,
        color=color,
        marker=marker,
        mec="white",
        mew=0.4,
        lw=1.6 if main else 0.9,
        zorder=5 if main else 4,
        label=cells[0].selector,
    )
    last = int(np.argmin(x))
    return EndLabel(cells[0].selector, (x[last], y[last]), color, marker)

"""Test accuracy against training steps. Accuracies are in percent, lengths in inches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from rayred.report.figures.sheet import (
    BOTTOM,
    COLUMN,
    EDGE,
    LEFT,
    PAGE,
    STEPS,
    add_axes,
    new_sheet,
    say_nothing_to_show,
)
from rayred.report.figures.style import FULL_COLOR, Look, looks_of, style
from rayred.report.figures.text import Words, percent, width_of
from rayred.results.trial import FULL, TrialResult, subject

Curves = Mapping[tuple[str, float], Mapping[int, Sequence[float]]]
"""Test accuracies in percent of all trials by selector and fraction, and by step, ascending."""

COLUMNS = 3
BEGINNING = 0.25
"""Part of all steps whose accuracies may lie below the axis."""
HIGH = 1.35
BETWEEN = 0.18
ABOVE = 0.2
"""Space for what a panel is of."""
KEY_SIZE = 7
"""Points, of the names of the selectors."""
KEY_ROW = 0.15
KEY_LINE = 0.25


def curves_of(results: Sequence[TrialResult]) -> Curves:
    """Return the curves of several evaluations; empty where there are none."""
    curves: dict[tuple[str, float], dict[int, list[float]]] = {}
    for result in results:
        points = [
            (int(point["step"]), 100 * float(point["test_accuracy"]))
            for point in result.curve
            if point.get("test_accuracy") is not None
        ]
        points = [(step, value) for step, value in points if np.isfinite(value)]
        if len(points) > 1:
            ours = curves.setdefault((result.trial.selector, result.trial.fraction), {})
            for step, value in points:
                ours.setdefault(step, []).append(value)
    return {key: dict(sorted(ours.items())) for key, ours in curves.items()}


def curves_words(curves: Curves) -> Words:
    """Return what the figure of curves shows: where a half of all steps is taken."""
    caption = (
        "Test accuracy while training. Lines: means over the trials; bands: from the lowest to the"
        f" highest trial. The first {percent(BEGINNING)} of the steps may lie below the axis."
    )
    if (FULL, 1.0) in curves:
        caption += " Dashed: the full set, the same in all panels."
    selector = subject(name for name, _ in curves)
    fractions = [fraction for name, fraction in curves if name == selector]
    key = (selector, min(fractions)) if fractions else next(iter(curves))
    ours, full = curves[key], curves.get((FULL, 1.0), {})
    compared = set(ours) & set(full) or set(ours)
    last = max(ours)
    half = min(compared, key=lambda step: (abs(step - last / 2), step))
    said = f"At step {half:,} of {last:,}, {_named(*key)} is at {np.mean(ours[half]):.1f} %"
    if key[0] != FULL and half in full:
        said += f", the full set at {np.mean(full[half]):.1f} %"
    return Words(said, caption)


def _key(selector: str) -> str:
    return "full set" if selector == FULL else selector


def _named(selector: str, fraction: float) -> str:
    return "the full set" if selector == FULL else f"the {selector} {percent(fraction)} subset"


@style()
def draw_curves(curves: Curves, title: str) -> Figure:
    """Draw a panel for every fraction with the mean and the range of each selector's curves."""
    fractions = sorted({f for selector, f in curves if selector != FULL}, reverse=True)
    if not curves:
        return say_nothing_to_show(COLUMN, title, "No curve has more than one point.")
    panels = fractions or [1.0]
    selectors = list(dict.fromkeys(selector for selector, _ in curves if selector != FULL))
    looks = {FULL: Look(FULL_COLOR, "")} | looks_of(selectors)
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = COLUMN if columns == 1 else PAGE
    wide = (width - LEFT - 2 * EDGE - (columns - 1) * BETWEEN) / columns
    shown = {name: looks[name] for name in (FULL, *selectors) if any(name == k for k, _ in curves)}
    keys = _rows_of_keys(list(shown), width)
    below = BOTTOM + len(keys) * KEY_ROW
    high = below + rows * (HIGH + ABOVE) + (rows - 1) * BETWEEN
    figure = new_sheet(width, high, title)
    _draw_keys(figure, keys, shown)
    limits = _limits(curves)
    for place, fraction in enumerate(panels):
        row, column = divmod(place, columns)
        bottom = high - (row + 1) * (HIGH + ABOVE) - row * BETWEEN
        axes = add_axes(figure, LEFT + column * (wide + BETWEEN), bottom, wide, HIGH)
        axes.set(xlim=limits[0], ylim=limits[1])
        _draw_panel(axes, curves, fraction, shown)
        lowest = place + columns >= len(panels)
        axes.tick_params(labelleft=column == 0, labelbottom=lowest)
        if lowest:
            axes.set_xlabel("steps")
        if column == 0:
            axes.set_ylabel("test accuracy (%)")
    return figure


def _limits(curves: Curves) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the limits of steps and of accuracies, without what is low at the beginning."""
    last = max(step for curve in curves.values() for step in curve)
    values = [
        value
        for curve in curves.values()
        for step, some in curve.items()
        if step >= BEGINNING * last
        for value in some
    ]
    space = 0.05 * (max(values) - min(values)) or 1.0
    return (0.0, 1.02 * last), (min(values) - space, min(max(values), 100.0) + space)


def _draw_panel(axes: Axes, curves: Curves, fraction: float, looks: Mapping[str, Look]) -> None:
    for place, (selector, look) in enumerate(looks.items()):
        curve = curves.get((selector, 1.0 if selector == FULL else fraction))
        if not curve:
            continue
        steps, values = list(curve), list(curve.values())
        low, high = [min(some) for some in values], [max(some) for some in values]
        axes.fill_between(steps, low, high, color=look.color, alpha=0.12, lw=0)
        dashes = "--" if selector == FULL else "-"
        means = [float(np.mean(some)) for some in values]
        lines = axes.plot(steps, means, color=look.color, lw=1, ls=dashes, label=selector)
        lines[0].set(marker=look.marker, markersize=3, markevery=_marked(place, len(steps)))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=STEPS))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    axes.grid(axis="y")
    axes.set_title(f"{percent(fraction)} kept", loc="left", pad=3)


def _marked(place: int, points: int) -> tuple[int, int]:
    """Return the first point that has a marker, another one for each selector, and the step."""
    every = max(1, points // 5)
    return place % every, every


def _rows_of_keys(names: Sequence[str], width: float) -> list[list[tuple[str, float]]]:
    """Return the names with the place of each from the left, in rows that fit into the width."""
    rows: list[list[tuple[str, float]]] = []
    free = width
    for name in names:
        needed = KEY_LINE + 0.06 + width_of(_key(name), KEY_SIZE) + 0.15
        if not rows or free + needed > width - EDGE:
            rows.append([])
            free = LEFT
        rows[-1].append((name, free))
        free += needed
    return rows


def _draw_keys(
    figure: Figure,
    rows: Sequence[Sequence[tuple[str, float]]],
    looks: Mapping[str, Look],
) -> None:
    """Write the selectors with their lines at the bottom."""
    inches = figure.dpi_scale_trans
    for place, row in enumerate(reversed(rows)):
        y = EDGE + (place + 0.4) * KEY_ROW
        for name, x in row:
            look = looks[name]
            dashes = "--" if name == FULL else "-"
            line = Line2D([x, x + KEY_LINE / 2, x + KEY_LINE], [y] * 3, color=look.color, ls=dashes)
            line.set(lw=1, marker=look.marker, markevery=[1], markersize=3, transform=inches)
            figure.add_artist(line)
            text = figure.text(x + KEY_LINE + 0.06, y, _key(name))
            text.set(transform=inches, va="center_baseline", fontsize=KEY_SIZE)

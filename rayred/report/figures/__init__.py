"""The figures of a study: accuracy against size, group sizes, and groups of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from rayred.data.dataset import Split
from rayred.files import replacing
from rayred.report.groups import Group
from rayred.verdict import FULL, Verdict

DPI = 160
COLORS = ("#0072b2", "#d55e00", "#cc79a7", "#56b4e9")
MARKERS = ("o", "s", "^", "D")
FULL_COLOR = "#444444"
KEPT_COLOR = "#009e4d"
LEGEND_COLUMNS = 3
"""Most entries side by side: more would not fit."""
IMAGES_A_ROW = 12
LEAST_WIDTH = 5.2
"""Inches that the title of the groups takes."""
CLASSES_SHOWN = 10


def draw_accuracy(path: Path, dataset: str, verdict: Verdict) -> None:
    """Draw test accuracy against subset size: mean ± standard deviation, the full set as a line."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    full = verdict.full
    if full is not None and full.mean is not None:
        deviation = full.deviation or 0.0
        axes.axhspan(
            full.mean - deviation, full.mean + deviation, color=FULL_COLOR, alpha=0.12, lw=0
        )
        axes.axhline(full.mean, color=FULL_COLOR, lw=1.2, ls="--", label="full set (mean ± sd)")
    selectors = dict.fromkeys(cell.selector for cell in verdict.cells if cell.selector != FULL)
    for position, selector in enumerate(selectors):
        color, marker = style_of(position)
        # Error bars of one size are shifted, so that they do not hide each other.
        offset = 0.6 * (position - (len(selectors) - 1) / 2)
        cells = [c for c in verdict.cells if c.selector == selector and c.mean is not None]
        axes.errorbar(
            [100 * cell.fraction + offset for cell in cells],
            [cell.mean or 0.0 for cell in cells],
            yerr=[cell.deviation or 0.0 for cell in cells],
            color=color,
            marker=marker,
            markersize=5,
            capsize=3,
            lw=1.6,
            label=f"{selector} subset",
        )
    sizes = {100 * cell.fraction for cell in verdict.cells if cell.selector != FULL}
    if len(sizes) == 1:
        (size,) = sizes
        axes.set_xlim(size - 10, size + 10)
    trials = max((cell.trials for cell in verdict.cells), default=0)
    axes.set_xlabel("size of the training set (% of every class)")
    axes.set_ylabel("test accuracy (%)")
    axes.set_title(f"{dataset}: mean ± standard deviation of {trials} trials", fontsize=10)
    axes.grid(alpha=0.25)
    columns = min(1 + len(selectors), LEGEND_COLUMNS)
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def style_of(position: int) -> tuple[str, str]:
    """Return colour and marker of a selector; a colour that comes again has another marker."""
    again, place = divmod(position, len(COLORS))
    return COLORS[place], MARKERS[(place + again) % len(MARKERS)]


def draw_group_sizes(
    path: Path, classes: Sequence[str], sizes: Sequence[NDArray[np.int64]], fraction: float
) -> None:
    """Draw the number of groups by size, one panel per class, on a logarithmic count axis.

    `sizes` are the group sizes of each class. The `CLASSES_SHOWN` classes with the largest groups
    are shown.
    """
    shown = sorted(range(len(sizes)), key=lambda label: -int(sizes[label].max()))[:CLASSES_SHOWN]
    shown.sort()
    columns = min(5, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.1 * columns + 0.6, 1.9 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    largest = max(int(sizes[label].max()) for label in shown)
    for position, axes in enumerate(panels.flat):
        if position >= len(shown):
            axes.set_visible(False)
            continue
        _draw_size_panel(axes, classes[shown[position]], sizes[shown[position]], largest)
    figure.supxlabel("images in the group", fontsize=10)
    figure.supylabel("groups", fontsize=10)
    figure.suptitle(f"Groups by size, cut at {100 * fraction:g} % of every class", fontsize=11)
    _save(figure, path)


def _draw_size_panel(axes: Axes, name: str, sizes: NDArray[np.int64], largest: int) -> None:
    counts = np.bincount(sizes, minlength=largest + 1)[1:]
    axes.bar(np.arange(1, largest + 1), counts, width=0.85, color=COLORS[0])
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.7)
    axes.set_title(_shortened(name, 24), fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def draw_groups(path: Path, split: Split, groups: Sequence[Group], fraction: float) -> None:
    """Draw one row per group: class name, and images, of which those kept are boxed in green."""
    columns = min(IMAGES_A_ROW, max((len(group.images) for group in groups), default=1))
    rows = max(1, len(groups))
    size = max(LEAST_WIDTH, 0.78 * columns + 1.5), 0.8 * rows + 0.6
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for group, row in zip(groups, panels, strict=False):
        images = split.images[group.images[:columns]]
        for axes, image in zip(row, images, strict=False):
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        for axes in row[: group.kept]:
            axes.spines[:].set(visible=True, color=KEPT_COLOR, linewidth=3)
        hidden = len(group.images) - columns
        label = _shortened(split.classes[group.label], 18)
        count = f"{len(group.images)} images" + (f",\n{hidden} not shown" if hidden > 0 else "")
        row[0].set_ylabel(
            f"{label}\n{count}", rotation=0, ha="right", va="center", fontsize=8, labelpad=8
        )
    title = f"Redundant groups, cut at {100 * fraction:g} % of every class (green: kept)"
    figure.suptitle(title if groups else "No redundant groups", fontsize=10)
    _save(figure, path)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI)

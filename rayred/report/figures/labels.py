"""Labels at the ends of lines, in place of a legend. Lengths on the sheet are inches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from rayred.report.figures.text import spread


@dataclass(frozen=True)
class EndLabel:
    """The label of a line."""

    text: str
    end: tuple[float, float]
    """Where the line ends, in the units of the axes."""
    color: str
    marker: str
    """Shown beside the label; empty for none."""


def add_end_labels(
    axes: Axes, labels: Sequence[EndLabel], space: float, gap: float, size: float
) -> None:
    """Write labels to the right of axes, none over another, each tied to the end of its line.

    Parameters
    ----------
    axes
        Their place and limits are final.
    labels
        One for every line.
    space
        From the right edge of the axes to the labels.
    gap
        Least distance of the middles of two labels.
    size
        Of the text, in points.
    """
    inches = axes.figure.dpi_scale_trans
    right, low = inches.inverted().transform(axes.transAxes.transform((1, 0)))
    high = float(inches.inverted().transform(axes.transAxes.transform((1, 1)))[1])
    to_inches = axes.transData + inches.inverted()
    ends = [to_inches.transform(label.end) for label in labels]
    heights = spread([float(y) for _, y in ends], gap, float(low) + gap / 2, high - gap / 2)
    for label, (x, y), height in zip(labels, ends, heights, strict=True):
        start, color = float(right) + space, label.color
        path = [float(x), float(right), start - 0.13], [float(y), float(y), height]
        tie = {"transform": inches, "clip_on": False, "color": color}
        axes.plot(*path, lw=0.5, alpha=0.5, scalex=False, scaley=False, **tie)
        if label.marker:
            point = [start - 0.08], [height]
            axes.plot(*point, marker=label.marker, mew=0, scalex=False, scaley=False, **tie)
        axes.text(start, height, label.text, transform=inches, va="center_baseline", fontsize=size)

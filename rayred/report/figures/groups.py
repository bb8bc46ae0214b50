"""Redundant groups as pictures. Lengths on the sheet are inches.

Legend: N images, n of a group, H × W pixels, C colour channels (1 or 3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from rayred.data.dataset import Split
from rayred.report.figures.sheet import EDGE, PAGE, add_blank, new_sheet, say_nothing_to_show
from rayred.report.figures.style import KEPT_COLOR, style
from rayred.report.figures.text import Words, counted, percent, rounded, shortened
from rayred.report.groups import Choice, Group

LABELS = 1.35
"""Width of what is said of a group."""
LABEL_SIZE = 7
"""Points."""
PLACE = PAGE - 2 * EDGE - LABELS
"""Width of the images of a group."""
MORE = 0.5
"""Width of the number of those that do not fit."""
HIGH = 0.5
"""Height of the place of an image."""
NARROWEST, WIDEST = 0.3, 1.2
"""Width of the place of an image, by its aspect ratio."""
GAP = 0.06
BETWEEN_ROWS = 0.09
ORDERS = {
    "largest": "the largest",
    "tightest": "the tightest",
    "loosest": "the loosest",
    "random": "a random one",
}
"""What comes first, by the choice of groups."""
BOX = 1.6
"""Width of the box around an image that is kept, in points."""


def groups_words(groups: Sequence[Group], choice: Choice, fraction: float, total: int) -> Words:
    """Return what the figure of some groups shows.

    Parameters
    ----------
    groups, choice
        The groups, and how they were chosen.
    fraction
        Share of every class that is kept.
    total
        Number of groups of more than one image in all.
    """
    cut = f"cut at {percent(fraction)} of every class"
    if not groups:
        return Words(f"No two images form a group, {cut}", "Every image is a group of its own.")
    most = max(len(group.images) for group in groups)
    heights = [group.height for group in groups]
    lowest, highest = rounded(min(heights)), rounded(max(heights))
    titles = {
        "largest": f"The largest redundant groups have up to {counted(most, 'image')}",
        "tightest": f"The tightest groups merge from a height of {lowest} on",
        "loosest": f"The loosest groups accepted merge at heights up to {highest}",
        "random": f"Redundant groups drawn at random merge at heights up to {highest}",
    }
    caption = (
        f"{len(groups)} of {counted(total, 'group')} of more than one image, {cut}:"
        f" {ORDERS[choice]} of each class first. Images boxed in green are kept, the others are"
        " left out. The height is that at which a group is merged: for complete linkage, the"
        " cosine distance of its two images that are farthest apart."
    )
    return Words(f"{titles[choice]}, {cut}", caption)


@style()
def draw_groups(split: Split, groups: Sequence[Group], title: str) -> Figure:
    """Draw a row for every group: class, number of images and height, and as many images as fit.

    Images that are kept come first, boxed in green; where there are more than fit, the last place
    says how many.
    """
    if not groups:
        return say_nothing_to_show(PAGE, title, "No group of more than one image.")
    height, width, _ = split.image_shape
    wide = float(np.clip(HIGH * width / height, NARROWEST, WIDEST))
    step = HIGH + BETWEEN_ROWS
    below = len(groups) * step - BETWEEN_ROWS + EDGE
    figure = new_sheet(PAGE, below, title)
    axes = add_blank(figure, below)
    for place, group in enumerate(groups):
        bottom = below - HIGH - place * step
        _say(axes, group, split.classes[group.label], bottom)
        _draw_row(axes, split, group, bottom, wide)
    return figure


def _say(axes: Axes, group: Group, name: str, bottom: float) -> None:
    lines = (
        shortened(name, LABELS - GAP, LABEL_SIZE, "bold"),
        f"{counted(len(group.images), 'image')}, {group.kept:,} kept",
        f"height {rounded(group.height)}",
    )
    for line, text in enumerate(lines):
        y = bottom + HIGH * (5 - 2 * line) / 6
        weight = "bold" if line == 0 else "normal"
        axes.text(EDGE, y, text, fontsize=LABEL_SIZE, va="center", weight=weight)


def _draw_row(axes: Axes, split: Split, group: Group, bottom: float, wide: float) -> None:
    count = shown = len(group.images)
    if count > _fitting(PLACE, wide):
        shown = _fitting(PLACE - MORE, wide)
    for place, image in enumerate(split.images[group.images[:shown]]):
        left = EDGE + LABELS + place * (wide + GAP)
        _draw_image(axes, image, left, bottom, wide, kept=place < group.kept)
    if shown < count:
        left = EDGE + LABELS + shown * (wide + GAP)
        text = f"+ {count - shown:,}"
        axes.text(left, bottom + HIGH / 2, text, fontsize=LABEL_SIZE, va="center")


def _fitting(space: float, wide: float) -> int:
    """Return how many images fit side by side."""
    return int((space + GAP) / (wide + GAP))


def _draw_image(
    axes: Axes, image: NDArray[np.uint8], left: float, bottom: float, wide: float, *, kept: bool
) -> None:
    """Draw an image, (H, W, C), in the middle of its place, as large as fits."""
    height, width, channels = image.shape
    scale = min(wide / width, HIGH / height)
    x, y = left + (wide - scale * width) / 2, bottom + (HIGH - scale * height) / 2
    axes.imshow(
        image[..., 0] if channels == 1 else image,
        cmap="gray",
        vmin=0,
        vmax=255,
        aspect="auto",
        interpolation="nearest",
        extent=(x, x + scale * width, y, y + scale * height),
        clip_on=False,
    )
    if kept:
        box = Rectangle((x, y), scale * width, scale * height, fill=False, ec=KEPT_COLOR, lw=BOX)
        axes.add_patch(box)

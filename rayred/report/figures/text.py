r"""Text in figures: measured, shortened, wrapped, and labels spread apart. Lengths are inches.

>>> printable("one\ntwo")
'one two'
>>> [round(y, 2) for y in spread([1.0, 1.0, 3.0], gap=0.5, low=0.0, high=4.0)]
[0.75, 1.25, 3.0]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from scipy.optimize import isotonic_regression

POINTS = 72
"""Points an inch."""
MEASURED_DPI = 300
LINE = 1.3
"""Height of a line of text, in its size."""
JOINERS = "\u200c\u200d"
"""Characters without a shape that some scripts and emoji need."""

UNBROKEN = "\u00a0"
"""A space at which no line ends."""


@dataclass(frozen=True)
class Words:
    """What a figure shows, in words."""

    title: str
    """What is seen, with its numbers."""
    caption: str
    """How to read the figure, and what it leaves out."""


def percent(share: float) -> str:
    """Return a share, 0 to 1, in percent."""
    return f"{100 * share:.4g} %"


def rounded(height: float) -> str:
    """Return a merge height to two digits."""
    return f"{height:#.2g}"


def counted(number: int, noun: str) -> str:
    """Return a number with a noun, as in ``1 image`` and ``2 images``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """Return a text on one line, of characters that have a shape and that XML allows."""
    shown = (
        one if one.isprintable() or one in JOINERS else " " if one.isspace() else "\ufffd"
        for one in text
    )
    return " ".join("".join(shown).split())


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of a text in inches, at a size in points."""
    renderer = RendererAgg(1, 1, MEASURED_DPI)
    font = FontProperties(size=size, weight=weight)
    width, _, _ = renderer.get_text_width_height_descent(text, font, False)
    return float(width) / MEASURED_DPI


def shortened(text: str, width: float, size: float, weight: str = "normal") -> str:
    """Return a printable text that is no wider than `width` inches, with … where it is cut."""
    text = printable(text)
    if width_of(text, size, weight) <= width:
        return text
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        fits = width_of(text[:middle].rstrip() + "…", size, weight) <= width
        low, high = (middle, high) if fits else (low, middle)
    return text[:low].rstrip() + "…"


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Return the lines of a printable text, none wider than `width` inches."""
    lines: list[str] = []
    line = ""
    for word in printable(text).replace(" %", UNBROKEN + "%").split(" "):
        longer = f"{line} {word}".strip()
        if width_of(longer, size) <= width:
            line = longer
            continue
        lines += [line] if line else []
        while width_of(word, size) > width:
            head = shortened(word, width, size)[:-1]
            lines.append(head)
            word = word[len(head) :]
        line = word
    return [one.replace(UNBROKEN, " ") for one in (*lines, line)]


def balanced(text: str, width: float, size: float) -> list[str]:
    """Return the lines of a text, as few as `wrapped` makes, of about the same width."""
    lines = wrapped(text, width, size)
    for narrower in np.linspace(0.5, 1.0, 11) * width:
        found = wrapped(text, narrower, size)
        if len(found) == len(lines):
            return found
    return lines


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return positions close to those wanted, at least `gap` apart, within `low` to `high`.

    The order is that of the wanted positions. If they do not fit, they start at `low` and exceed
    `high`.
    """
    if not len(wanted):
        return []
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    fitted = isotonic_regression(np.asarray(wanted, float)[order] - steps).x
    placed = np.empty(len(wanted))
    placed[order] = np.maximum(np.minimum(fitted, high - steps[-1]), low) + steps
    return [float(one) for one in placed]

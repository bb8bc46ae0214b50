"""The look of all figures: the style file, and the colours and markers of selectors.

>>> look_of(0)
Look(color='#0072b2', marker='o')
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib as mpl
import matplotlib.style
from matplotlib.font_manager import fontManager

STYLE_FILE = Path(__file__).with_name("rayred.mplstyle")

COLORS = ("#0072b2", "#d55e00", "#009e73", "#000000", "#cc79a7")
"""Those of Okabe and Ito's palette whose contrast with white is at least 3 : 1."""
MARKERS = ("o", "s", "^", "D", "v", "P")
FULL_COLOR = "#555555"
"""The full set, and what is not compared."""
KEPT_COLOR = "#009e73"
"""Images that are kept."""
OTHER_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
)
"""Fonts for scripts that DejaVu Sans lacks, each used where it is installed."""


@dataclass(frozen=True)
class Look:
    """What tells a selector from others."""

    color: str
    marker: str


def look_of(position: int) -> Look:
    """Return the look of a selector by its position; the first 30 are all different."""
    return Look(COLORS[position % len(COLORS)], MARKERS[position % len(MARKERS)])


def looks_of(selectors: Sequence[str]) -> dict[str, Look]:
    """Return the look of each selector, in the order given."""
    return {selector: look_of(place) for place, selector in enumerate(selectors)}


@contextmanager
def style() -> Iterator[None]:
    """Draw with the style of rayred, whatever the user's own is; also a decorator."""
    fonts = {"font.sans-serif": ["DejaVu Sans", *_other_fonts()]}
    with (
        matplotlib.style.context(["default", STYLE_FILE]),
        mpl.rc_context(fonts),
        warnings.catch_warnings(),
    ):
        # A script that no font here has is shown as boxes in the PNG, and as text in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


@cache
def _other_fonts() -> tuple[str, ...]:
    """Return the installed fonts among those for scripts that DejaVu Sans lacks."""
    installed = set(fontManager.get_font_names())
    return tuple(name for name in OTHER_FONTS if name in installed)

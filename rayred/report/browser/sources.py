"""The files of the browser: its ES module, which exports `render`, and its style sheet."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent
_PARTS = ("virtual-core.min.js", "groups.js", "drawing.js", "browser.js")
"""Files that are one module when they are joined, in this order."""


def module() -> str:
    """Return the browser as one ES module, in the form that anywidget loads too."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _PARTS)


def style() -> str:
    """Return the browser's style sheet."""
    return (_FOLDER / "browser.css").read_text(encoding="utf-8")

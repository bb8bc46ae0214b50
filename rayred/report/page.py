"""The report page: one HTML file with all figures in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from rayred.files import replacing
from rayred.report.browser.content import Packed
from rayred.report.figures.drawn import Drawn
from rayred.report.templating import render
from rayred.search.results import Found, describe
from rayred.selection.overlap import Overlap
from rayred.verdict import FULL, Cell
from rayred.verdict.judge import Verdict


def write_page(
    path: Path,
    name: str,
    facts: Mapping[str, str],
    verdict: Verdict,
    figures: Sequence[Drawn],
    notes: list[str],
    found: Found | None,
    config: str,
    overlaps: Sequence[Overlap] = (),
    browser: Packed | None = None,
    *,
    given: bool = False,
) -> None:
    """Write the report page.

    Parameters
    ----------
    path
        The HTML file.
    name
        Name of the study.
    facts
        Short facts to list: term and text.
    verdict
        Its sentence and tables.
    figures
        The figures, that of the accuracies first; they are in the page.
    notes
        Sentences to list under the heading Notes.
    found
        The result of the search; `None` if there was none.
    config
        The experiment file with all defaults written out.
    overlaps
        How alike several references choose, fraction by fraction; empty if there is one.
    browser
        What the group browser shows; None for a page without it.
    given
        Whether the subset that is shown was chosen before the study.
    """
    pictures = [embedded(figure) for figure in figures]
    text = render(
        "rayred.report",
        "report.html.j2",
        browser,
        name=name,
        facts=facts,
        verdict=verdict,
        pictures=pictures,
        notes=notes,
        found=found,
        describe=describe,
        config=config,
        overlaps=overlaps,
        words=partial(_words, verdict.margin),
        given=given,
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def embedded(figure: Drawn) -> dict[str, Any]:
    """Return a figure as the pages show it: at half its pixels, so that it is sharp anywhere."""
    with Image.open(figure.path) as image:
        width = image.width // 2
    data = base64.b64encode(figure.path.read_bytes()).decode("ascii")
    return {"title": figure.title, "caption": figure.caption, "data": data, "width": width}


def _words(margin: float, cell: Cell) -> str:
    """Return in words how a subset compares with the full set."""
    if cell.selector == FULL:
        return "what the others are compared with"
    if cell.outcome == "equivalent":
        return f"as good, within {margin:g} points"
    if cell.outcome == "worse":
        return "worse"
    if cell.outcome is None:
        return "not compared"
    more = f"; about {cell.trials_to_decide:,} trials would" if cell.trials_to_decide else ""
    return f"undecided: these trials do not tell{more}"

"""The page of a smaller data set: its classes, and all groups to look at and to change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rayred.data.listing import one_line
from rayred.pruning.browsing import content_of
from rayred.pruning.choosing import Clustered
from rayred.pruning.known import Known
from rayred.pruning.tables import Chosen, Summary
from rayred.report.browser.content import pack
from rayred.report.figures.drawn import draw_redundancy_of
from rayred.report.page import embedded
from rayred.report.templating import render
from rayred.store import Stage


@dataclass(frozen=True)
class Page:
    """What the page shows."""

    name: str
    """The data set."""
    chosen: Chosen
    summary: Summary
    clustered: Clustered | None
    """The trees that were cut; None for selectors that have none."""
    known: Known | None
    """Images that the data set that one has holds already."""


def _classes(chosen: Chosen) -> list[dict[str, Any]]:
    sizes = chosen.split.class_sizes()
    kept = np.bincount(chosen.split.labels[chosen.kept], minlength=len(sizes))
    return [
        {"name": one_line(name), "images": int(size), "kept": int(left)}
        for name, size, left in zip(chosen.split.classes, sizes, kept, strict=True)
    ]


def _figures(folder: Path, page: Page) -> list[dict[str, Any]]:
    """Draw how redundant each class is by one measure, if there are trees that say so."""
    clustered = page.clustered
    if clustered is None:
        return []
    height = min(page.summary.distance, clustered.reach)
    classes = [one_line(name) for name in page.chosen.split.classes]
    return [embedded(draw_redundancy_of(folder, clustered.trees, classes, height))]


def _save(folder: Path, page: Page) -> None:
    chosen, summary, known = page.chosen, page.summary, page.known
    text = render(
        "rayred.pruning",
        "pruned.html.j2",
        pack(content_of(chosen, page.clustered, known)),
        name=page.name,
        sentence=chosen.choice.sentence(),
        summary=summary,
        n_images=len(chosen.split) + summary.known,
        owned=None if known is None else known.owned.name,
        pictures=_figures(folder / "figures", page),
        classes=_classes(chosen),
    )
    (folder / "report.html").write_text(text, encoding="utf-8", errors="backslashreplace")


PAGE = Stage[Page, None]("page", _save, lambda _: None)
"""The page, as ``report.html``."""

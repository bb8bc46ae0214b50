"""The page of a check: what a data set holds twice, as pairs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayred.checking.partners import Relation
from rayred.data.dataset import Split
from rayred.report.browser.content import Content, folder_urls, pack
from rayred.report.browser.side_by_side import TITLES, with_pairs
from rayred.report.templating import render

if TYPE_CHECKING:
    import pandas


HAVE = {
    Relation.SAME_CLASS: "have a copy within their class",
    Relation.OTHER_CLASS: "images have a copy in another class",
    Relation.OTHER_SPLIT: "test images look like a training image",
}
"""What is said of the images of each relation."""
DETECTORS = {
    "bytes": "same bytes",
    "pixels": "same pixels",
    "hash": "hashes nearly the same",
    "near": "close",
    "any": "by any",
}
"""What each detector is called in the table."""


@dataclass(frozen=True)
class CheckReport:
    """What the page shows."""

    name: str
    """The data set."""
    splits: Mapping[str, Split]
    pairs: Mapping[Relation, pandas.DataFrame]
    """Tables of pairs by relation, the closest first."""
    counts: Mapping[str, Any]
    """Images of each split, and how many each detector finds a partner for, by relation."""
    limits: str
    """Up to where two images count as the same, in words."""


def pairs_of(
    found: Mapping[Relation, pandas.DataFrame], splits: Mapping[str, Split]
) -> Content | None:
    """Return what the group browser shows of pairs alone; None if there are none."""
    if not any(len(table) for table in found.values()):
        return None
    album, pairs = with_pairs(found, splits)
    return Content(album, pairs=pairs, sources=folder_urls(album.parts[0].split))


def write_check_page(folder: Path, check: CheckReport) -> None:
    """Write ``report.html`` into a folder."""
    relations = [one for one in sorted(TITLES, reverse=True) if one in check.pairs]
    if len(check.splits) == 1:
        relations.remove(Relation.OTHER_SPLIT)
    counts = {one: check.counts[one.name.lower()] for one in relations}
    sizes = " and ".join(f"{n:,} {name}" for name, n in check.counts["images"].items())
    have = "; ".join(f"{found['any']:,} {HAVE[one]}" for one, found in counts.items())
    content = pairs_of(check.pairs, check.splits)
    text = render(
        "rayred.report",
        "checked.html.j2",
        None if content is None else pack(content),
        name=check.name,
        sentence=f"Of {sizes} images: {have}.",
        detectors=list(DETECTORS.values()),
        rows=[(TITLES[one], [found[name] for name in DETECTORS]) for one, found in counts.items()],
        limits=check.limits,
    )
    (folder / "report.html").write_text(text, encoding="utf-8", errors="backslashreplace")

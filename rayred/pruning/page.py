"""The page of a smaller data set: what is not kept, and what is kept in its place, as pictures."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rayred.data import Split
from rayred.data.listing import one_line
from rayred.pruning.known import Known
from rayred.pruning.tables import Chosen, Summary
from rayred.report.templating import render
from rayred.store import Stage

PAIRS_SHOWN = 24
"""Images that are not kept, the farthest from what is kept in their place."""
GROUPS_SHOWN = 12
"""The largest groups."""
MEMBERS_SHOWN = 12
"""Images of a group."""


@dataclass(frozen=True)
class Picture:
    """An image of the page."""

    data: str
    """PNG file in base64."""
    name: str
    distance: float
    """Cosine distance to what is kept in its place; 0 for what is kept."""
    kept: bool

    @classmethod
    def of(cls, chosen: Chosen, image: int) -> Picture:
        """Return an image of a data set, as it was compared."""
        standing = chosen.standing
        kept = bool(standing.representative[image] == image)
        return cls.of_split(chosen.split, image, float(standing.distance[image]), kept)

    @classmethod
    def of_split(cls, split: Split, image: int, distance: float, kept: bool) -> Picture:
        """Return an image of a split."""
        pixels = split.images[np.array([image])][0]
        buffer = io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode()
        return cls(data, one_line(split.names[image]), distance, kept)


@dataclass(frozen=True)
class Page:
    """What the page shows."""

    chosen: Chosen
    summary: Summary
    known: Known | None = None
    """Images that the data set that one has holds already."""


def farthest_pairs(chosen: Chosen, most: int) -> list[tuple[Picture, Picture]]:
    """Return the images not kept that are farthest from what is kept in their place, with that."""
    standing = chosen.standing
    gone = np.flatnonzero(standing.representative != np.arange(len(chosen.split)))
    order = gone[np.argsort(-standing.distance[gone], kind="stable")][:most]
    return [
        (Picture.of(chosen, image), Picture.of(chosen, int(standing.representative[image])))
        for image in order.tolist()
    ]


def _known_pairs(known: Known, most: int) -> list[tuple[Picture, Picture]]:
    """Return the known images that are farthest from what one has, with that."""
    owned = known.owned.images
    if owned is None:
        return []
    found = []
    for one in np.argsort(-known.distance, kind="stable")[:most].tolist():
        image, match, distance = int(known.place[one]), int(known.match[one]), known.distance[one]
        ours = Picture.of_split(known.images, image, float(distance), kept=False)
        found.append((ours, Picture.of_split(owned, match, 0.0, kept=True)))
    return found


def _largest_groups(chosen: Chosen) -> list[list[Picture]]:
    """Return the largest groups, of each the kept image first and then the closest to it."""
    standing = chosen.standing
    sizes = np.bincount(standing.group)
    largest = np.argsort(-sizes, kind="stable")[:GROUPS_SHOWN]
    found = []
    for group in largest[sizes[largest] > 1]:
        members: NDArray[np.int64] = np.flatnonzero(standing.group == group)
        kept = standing.representative[members] == members
        order = members[np.lexsort([standing.distance[members], ~kept])][:MEMBERS_SHOWN]
        found.append([Picture.of(chosen, image) for image in order.tolist()])
    return found


def _classes(chosen: Chosen) -> list[dict[str, Any]]:
    sizes = chosen.split.class_sizes()
    kept = np.bincount(chosen.split.labels[chosen.kept], minlength=len(sizes))
    return [
        {"name": one_line(name), "images": int(size), "kept": int(left)}
        for name, size, left in zip(chosen.split.classes, sizes, kept, strict=True)
    ]


def _save(folder: Path, page: Page) -> None:
    chosen, summary, known = page.chosen, page.summary, page.known
    text = render(
        "rayred.pruning",
        "pruned.html.j2",
        sentence=chosen.choice.sentence(),
        summary=summary,
        n_images=len(chosen.split) + summary.known,
        owned=None if known is None else known.owned.name,
        known=[] if known is None else _known_pairs(known, PAIRS_SHOWN),
        classes=_classes(chosen),
        pairs=farthest_pairs(chosen, PAIRS_SHOWN),
        groups=_largest_groups(chosen) if chosen.choice.by == "semantic" else [],
        members_shown=MEMBERS_SHOWN,
    )
    (folder / "report.html").write_text(text, encoding="utf-8")


PAGE = Stage[Page, None]("page", _save, lambda _: None)
"""The page, as ``report.html``."""

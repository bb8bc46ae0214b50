"""What the group browser shows, and how it is packed for it.

Legend: P images shown, M merges, k neighbours, C classes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.cuts import Cut
from rayred.clustering.exploration import Exploration
from rayred.data.dataset import Split
from rayred.report.browser.sprites import make_sheets

MOST_BYTES = 8_500_000
"""Bytes of all small images; in a page they take a third more, and the page at most 15 MB."""
PAIRS_SHOWN = 300
"""Pairs of each kind, the closest; the tables have all."""
ALIGNMENT = 8
"""Bytes at a multiple of which every array begins."""


@dataclass(frozen=True)
class Part:
    """Images of one split."""

    name: str
    split: Split
    places: NDArray[np.int64]
    """(n,) ascending, which images of the split."""


@dataclass(frozen=True)
class Album:
    """Images of one split or of several, of one height and width."""

    parts: tuple[Part, ...]
    """At least one."""

    def __len__(self) -> int:
        return sum(len(part.places) for part in self.parts)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of all parts, those of the first one in its label order."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.split.classes))

    @property
    def names(self) -> list[str]:
        """Names of the P images."""
        return [part.split.names[place] for part in self.parts for place in part.places]

    @property
    def labels(self) -> NDArray[np.int64]:
        """(P,) indices into the classes."""
        number = {name: label for label, name in enumerate(self.classes)}
        return np.concatenate(
            [
                np.array([number[name] for name in part.split.classes])[
                    part.split.labels[part.places]
                ]
                for part in self.parts
            ]
        )

    @property
    def rows(self) -> NDArray[np.int64]:
        """(P,) rows in the user's data."""
        return np.concatenate([part.split.rows[part.places] for part in self.parts])

    @property
    def part_of(self) -> NDArray[np.int64]:
        """(P,) number of each image's part."""
        return np.repeat(np.arange(len(self.parts)), [len(part.places) for part in self.parts])

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Height and width in pixels, and the largest number of channels."""
        shapes = [part.split.image_shape for part in self.parts]
        return *shapes[0][:2], max(shape[2] for shape in shapes)

    def images(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return some of the P images, (n, H, W, C)."""
        found = np.empty((len(chosen), *self.shape), np.uint8)
        first = 0
        for part in self.parts:
            here = (chosen >= first) & (chosen < first + len(part.places))
            if here.any():
                # Grey ones are grey in all channels.
                found[here] = part.split.images[part.places[chosen[here] - first]]
            first += len(part.places)
        return found


@dataclass(frozen=True)
class Pairs:
    """Images that lie side by side."""

    title: str
    note: str
    """What they have in common, in a sentence."""
    images: NDArray[np.int64]
    """(n, 2) of the album."""
    said: Sequence[str]
    """What is said of each pair."""
    count: int
    """How many there are in all."""


@dataclass(frozen=True)
class Content:
    """What the group browser shows."""

    album: Album
    exploration: Exploration | None = None
    """Of the split of the album's first part, whose places are its `rows`."""
    cut: Cut | None = None
    """Where the trees are cut at first."""
    kept: NDArray[np.bool_] | None = None
    """(N,) which images of that split are kept, where that does not follow from the trees."""
    group: NDArray[np.int64] | None = None
    """(N,) the group of each image of that split, where there are no trees."""
    pairs: Sequence[Pairs] = ()
    table: bool = True
    """Whether all that is not kept of the user's data is among the images of that split."""
    linkage: str = "complete"
    sources: Sequence[str] = ()
    """URLs of folders that the names are relative to, where the whole pictures may be."""


def folder_urls(split: Split) -> list[str]:
    """Return the URL of the folder that the names of images are relative to, if there is one."""
    return [] if split.folder is None else [f"{split.folder.absolute().as_uri()}/"]


@dataclass(frozen=True)
class Packed:
    """What the browser reads."""

    meta: dict[str, Any]
    """Plain values, and where each array lies in `data`."""
    data: bytes
    """Arrays and names, compressed by gzip."""
    sheets: tuple[bytes, ...]
    """Small images, see `rayred.report.browser.sprites`."""


def pack(content: Content) -> Packed:
    """Return the values of the browser in its own form."""
    album, found = content.album, content.exploration
    n = len(album)
    order = _order(content)
    slot = np.empty(n, np.int64)
    slot[order] = np.arange(n)
    sheets = make_sheets(lambda chosen: album.images(order[chosen]), n, album.shape, MOST_BYTES)
    arrays: dict[str, NDArray[Any]] = {
        "label": album.labels.astype(np.int32),
        "row": album.rows.astype(np.float64),
        "slot": slot.astype(np.int32),
        "split": album.part_of.astype(np.uint8),
    }
    first = album.parts[0]
    gone = np.zeros(len(album.classes), np.int64)
    if content.kept is not None:
        arrays["kept"] = _padded(content.kept[first.places], n).astype(np.uint8)
        elsewhere = np.setdiff1d(np.flatnonzero(~content.kept), first.places)
        gone = np.bincount(first.split.labels[elsewhere], minlength=len(album.classes))
        arrays["goneElsewhere"] = gone.astype(np.int32)
    if content.group is not None:
        _, group = np.unique(content.group[first.places], return_inverse=True)
        arrays["group"] = _padded(group, n).astype(np.int32)
    if found is not None:
        arrays |= _arrays_of(found)
    names = json.dumps(album.names).encode()
    arrays["names"] = np.frombuffer(names, np.uint8)
    for number, pairs in enumerate(content.pairs):
        arrays[f"pairs{number}"] = pairs.images.astype(np.int32).ravel()
    data, where = _joined(arrays)
    sizes = first.split.class_sizes()
    layout = asdict(sheets)
    del layout["files"]
    meta = {
        "classes": list(album.classes),
        "classSizes": np.pad(sizes, (0, len(album.classes) - len(sizes))).tolist(),
        "splits": [part.name for part in album.parts],
        "complete": len(first.places) == len(first.split),
        "sheet": layout,
        "table": content.table and not gone.any(),
        "arrays": where,
        "cut": None if content.cut is None else _cut(content.cut),
        "linkage": content.linkage,
        "pairs": [
            {"title": one.title, "note": one.note, "said": list(one.said), "count": one.count}
            for one in content.pairs
        ],
        "sources": list(content.sources),
        "reach": 0.0 if found is None else found.reach,
        "whole": found is None or found.whole,
        "neighbours": 0 if found is None else found.neighbours.shape[1],
    }
    return Packed(meta, gzip.compress(data, 6, mtime=0), sheets.files)


def _cut(cut: Cut) -> dict[str, Any]:
    if cut.max_distance is not None:
        return {"mode": "distance", "value": cut.max_distance, "floor": cut.floor}
    return {"mode": "common" if cut.common else "class", "value": cut.keep, "floor": cut.floor}


def _padded(values: NDArray[Any], length: int) -> NDArray[Any]:
    """Return values of the first part with zeros for the images of the others."""
    return np.pad(values, (0, length - len(values)))


def _order(content: Content) -> NDArray[np.int64]:
    """Return the images in the order of the sheets, (P,): those of a group side by side."""
    album = content.album
    group = np.arange(len(album))
    if content.group is not None:
        places = album.parts[0].places
        group[: len(places)] = content.group[places]
    if content.exploration is not None:
        trees, rows = content.exploration.trees, content.exploration.rows
        lowest = trees.groups_at([tree.n_clusters for tree in trees.trees])
        group = np.concatenate([lowest[rows], group[len(rows) :] + len(lowest)])
    return np.lexsort([group, album.part_of])


def _arrays_of(found: Exploration) -> dict[str, NDArray[Any]]:
    """Return the trees and neighbours with images as places in the album; merge j is −2 − j."""
    place = np.full(sum(map(len, found.trees.members)), -1)
    place[found.rows] = np.arange(len(found.rows))
    children, first = [], 0
    for members, tree in zip(found.trees.members, found.trees.trees, strict=True):
        nodes = np.concatenate([place[members], -2 - (first + np.arange(len(tree.children)))])
        children.append(nodes[tree.children])
        first += len(tree.children)
    scale = np.abs(found.places).max(initial=1e-12) / np.iinfo(np.int16).max
    return {
        "children": np.concatenate(children).astype(np.int32).ravel(),
        "height": np.concatenate([tree.heights for tree in found.trees.trees]),
        "merges": np.array([len(tree.children) for tree in found.trees.trees], np.int32),
        "keptOfMerge": place[found.kept].astype(np.int32),
        "neighbour": np.where(found.neighbours < 0, -1, place[found.neighbours])
        .astype(np.int32)
        .ravel(),
        "distance": found.distances.astype(np.float32).ravel(),
        "place": np.round(found.places / scale).astype(np.int16).ravel(),
    }


def _joined(arrays: Mapping[str, NDArray[Any]]) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of all arrays one after another, and name, dtype and place of each."""
    parts, where, offset = [], {}, 0
    for name, values in arrays.items():
        content = values.astype(values.dtype.newbyteorder("<")).tobytes()
        where[name] = [values.dtype.name, offset, len(values)]
        padding = b"\0" * (-len(content) % ALIGNMENT)
        parts += [content, padding]
        offset += len(content) + len(padding)
    return b"".join(parts), where

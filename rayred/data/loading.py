"""From listed rows to splits: what is wrong is said at once, and images are decoded or streamed.

Legend: N images, H × W pixels, C colour channels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import ImageColor

from rayred.config import Data
from rayred.data.cache import home_expanded
from rayred.data.dataset import Split, differing_classes
from rayred.data.images import EncodedImages, PixelImages, StoredImages, digest_of
from rayred.data.listing import LeftOut, Listing
from rayred.data.rule import Rule
from rayred.data.scan import Scan, decode_all, scan_images
from rayred.errors import DataError

LARGEST_SIDE = 224
"""Pixels; most that is suggested or chosen as `data.image_size`."""
SMALL_PIXELS = 64**2
"""Pixels below which an image is small: it is decoded faster than a thread is switched to."""
PIXELS_LOOKED_AT = 2 * 10**9
"""Most pixels that are decoded only to say at once what else is wrong: some seconds of work."""


@dataclass(frozen=True)
class _Rows:
    """The rows of a split that are used so far, with what is known of them."""

    title: str
    listing: Listing
    scan: Scan
    kept: NDArray[np.int64]
    """(N,) rows that are used."""
    left_out: tuple[LeftOut, ...]

    def without(self, reasons: Mapping[int, str]) -> _Rows:
        """Leave out rows, with the reason of each."""
        names = self.listing.names
        left_out = [LeftOut(str(names[row]), why, row) for row, why in sorted(reasons.items())]
        kept = self.kept[~np.isin(self.kept, list(reasons))]
        return replace(self, kept=kept, left_out=(*self.left_out, *left_out))

    def sizes(self) -> Counter[tuple[int, int]]:
        """Return how many images there are of each (width, height)."""
        width, height = self.scan.width[self.kept], self.scan.height[self.kept]
        return Counter(zip(width.tolist(), height.tolist(), strict=True))

    def threads(self) -> int | None:
        """Return in how many threads the images are decoded; None for one a core."""
        mean = (self.scan.width[self.kept] * self.scan.height[self.kept]).mean()
        return 1 if mean < SMALL_PIXELS else None

    def encoded(self, rule: Rule) -> EncodedImages:
        """Return the images that are used, all of one size once they are decoded."""
        if rule.size is not None:
            size = rule.size, rule.size
        else:
            first = self.kept[0]
            size = int(self.scan.height[first]), int(self.scan.width[first])
        images, names = self.listing.images, self.listing.names
        if len(self.kept) < len(images):
            images, names = images.take(self.kept), [names[row] for row in self.kept]
        return EncodedImages(images, rule, size, names)


def load_splits(
    name: str, listings: Mapping[str, Listing], data: Data, *, whole: bool = False
) -> dict[str, Split]:
    """Return listed rows as splits of the same classes, image shape and decoding.

    Parameters
    ----------
    name
        Name of the data set, for messages.
    listings
        The rows of each split, by its name.
    data
        How images are decoded, and whether they are kept in memory.
    whole
        Whether training cuts boxes out of whole images, so that a smaller one will not do.

    Raises
    ------
    DataError
        Images or labels cannot be used. The message has all that is wrong, and how to go on.
    """
    problems = _Problems(name, data.undecodable == "skip")
    splits = [_scanned(title, listing, data, problems) for title, listing in listings.items()]
    sizes = sum((rows.sizes() for rows in splits), Counter())
    size, resized = _size(sizes, data, problems)
    grey = all(rows.scan.grey[rows.kept].all() for rows in splits)
    bars = data.fit == "letterbox" and len(set(_color(data))) > 1
    rule = Rule(
        channels=1 if grey and not bars else 3,
        size=size,
        center_crop=data.center_crop,
        fit=data.fit,
        background=_color(data),
    )
    if problems.any() and _pixels(sizes) < PIXELS_LOOKED_AT:
        for rows in splits:
            problems.decoded(rows, replace(rule, size=8), keep=False)
    problems.raise_if_any()
    cut_smaller = size is not None and set(sizes) != {(size,) * 2}
    keep = _in_memory(sizes, rule, data) and not (whole and cut_smaller)
    loaded = [
        problems.decoded(rows, rule, keep=keep) if keep or problems.skip else (rows, None)
        for rows in splits
    ]
    classes, notices = problems.check_classes([rows for rows, _ in loaded])
    problems.raise_if_any()
    return {
        rows.title: _split(rows, rule, pixels, classes, (*rows.listing.notices, *noted, *resized))
        for (rows, pixels), noted in zip(loaded, notices, strict=True)
    }


def _size(
    sizes: Counter[tuple[int, int]], data: Data, problems: _Problems
) -> tuple[int | None, list[str]]:
    """Return the side that images are brought to, None for none, and a notice if it was chosen.

    If images differ in size and nothing says what to do, that is a problem.
    """
    if isinstance(data.image_size, int) or len(sizes) < 2:
        return data.image_size if isinstance(data.image_size, int) else None, []
    shown = ", ".join(
        f"{width} × {height} pixels ({count:,} images)"
        for (width, height), count in sizes.most_common(3)
    )
    more = f" and {len(sizes) - 3:,} other sizes" if len(sizes) > 3 else ""
    differ = f"images differ in size: {shown}{more}"
    sides = np.repeat([min(size) for size in sizes], list(sizes.values()))
    side = min(int(np.median(sides)), LARGEST_SIDE)
    if data.image_size is None:
        problems.sizes_differ(differ, side)
        return None, []
    square = "the central square of each" if data.fit == "crop" else "each, with bars,"
    chosen = f"{square} is brought to {side} × {side} (data.image_size, data.fit)"
    return side, [f"{differ}; {chosen}"]


def _scanned(title: str, listing: Listing, data: Data, problems: _Problems) -> _Rows:
    """Return the rows of a split that have a label and an image that can be read."""
    problems.listed(listing)
    scan = scan_images(listing.images, _color(data), _scans(data))
    rows = _Rows(title, listing, scan, np.arange(len(listing.labels)), listing.left_out)
    return problems.check_rows(rows)


class _Problems:
    """All that is wrong with a data set, and the settings with which one can go on."""

    def __init__(self, name: str, skip: bool) -> None:
        self.name = name
        self.skip = skip
        self.found: list[str] = []
        self.broken: dict[str, tuple[Listing, dict[int, str]]] = {}
        """Reasons of images that cannot be decoded, by split and row."""
        self.settings: dict[str, None] = {}

    def any(self) -> bool:
        return bool(self.found or self.broken)

    def raise_if_any(self) -> None:
        if self.any():
            said = [
                f"{len(broken):,} of {len(listing.labels):,} {title} images cannot be decoded"
                f" (first: {listing.names[min(broken)]}, row {min(broken)}: {broken[min(broken)]})"
                for title, (listing, broken) in self.broken.items()
            ]
            ways = " ".join(f"--set {setting}" for setting in self.settings)
            remedy = f"; mend this, or go on with: {ways}" if ways else ""
            raise DataError(f"{self.name}: {'; '.join([*said, *self.found])}{remedy}")

    def listed(self, listing: Listing) -> None:
        """Note what is wrong with the listing."""
        for problem in () if self.skip else listing.problems:
            self._add(problem)

    def check_rows(self, rows: _Rows) -> _Rows:
        """Leave out rows without a label, and images that cannot be read."""
        unlabelled = np.flatnonzero(rows.listing.labels < 0).tolist()
        broken = {row: why for row, why in enumerate(rows.scan.reasons) if why}
        if unlabelled and not self.skip:
            first = rows.listing.names[unlabelled[0]]
            self._add(
                f"{len(unlabelled):,} {rows.title} images have no label (first: {first}, row"
                f" {unlabelled[0]})"
            )
        rows = self._without_broken(rows, broken)
        return rows.without(dict.fromkeys(set(unlabelled) - set(broken), "image without a label"))

    def sizes_differ(self, differ: str, side: int) -> None:
        """Note that images differ in size, and a side that all could be brought to."""
        self.found.append(differ)
        self.settings[f"data.image_size={side}"] = None

    def decoded(
        self, rows: _Rows, rule: Rule, *, keep: bool
    ) -> tuple[_Rows, NDArray[np.uint8] | None]:
        """Decode all images of a split, and leave out those that cannot be decoded."""
        if len(rows.kept) == 0:
            return rows, None
        pixels, reasons = decode_all(rows.encoded(rule), rows.threads(), keep=keep)
        if not reasons:
            return rows, pixels if keep else None
        intact = np.setdiff1d(np.arange(len(rows.kept)), list(reasons))
        broken = {int(rows.kept[place]): why for place, why in reasons.items()}
        return self._without_broken(rows, broken), pixels[intact] if keep else None

    def check_classes(self, splits: Sequence[_Rows]) -> tuple[tuple[str, ...], list[list[str]]]:
        """Return the class names of all splits, and notices of classes that have no image."""
        present: list[list[str]] = []
        notices: list[list[str]] = []
        for rows in splits:
            names = rows.listing.classes
            sizes = np.bincount(rows.listing.labels[rows.kept], minlength=len(names))
            present.append([name for name, size in zip(names, sizes, strict=True) if size])
            notices.append(
                [
                    f"class {name!r} has no {rows.title} images: it is left out"
                    for name, size in zip(names, sizes, strict=True)
                    if not size
                ]
            )
            if not present[-1]:
                self.found.append(f"the {rows.title} split has no images")
        if len({frozenset(names) for names in present}) > 1 and all(present):
            self.found.append(differing_classes(present[0], present[-1]))
        return tuple(present[0]), notices

    def _without_broken(self, rows: _Rows, broken: Mapping[int, str]) -> _Rows:
        if broken and not self.skip:
            _, known = self.broken.setdefault(rows.title, (rows.listing, {}))
            known.update(broken)
            self.settings["data.undecodable=skip"] = None
        reasons = {row: f"image that cannot be decoded: {why}" for row, why in broken.items()}
        return rows.without(reasons)

    def _add(self, problem: str) -> None:
        self.found.append(problem)
        self.settings["data.undecodable=skip"] = None


def _split(
    rows: _Rows,
    rule: Rule,
    pixels: NDArray[np.uint8] | None,
    classes: tuple[str, ...],
    notices: Sequence[str],
) -> Split:
    listing = rows.listing
    label = {name: number for number, name in enumerate(classes)}
    labels = np.array([label.get(name, -1) for name in listing.classes])[listing.labels[rows.kept]]
    animated = int(rows.scan.animated[rows.kept].sum())
    if animated:
        notices = [
            *notices,
            f"{animated:,} {rows.title} images have several frames: the first of each is used",
        ]
    return Split(
        rows.encoded(rule) if pixels is None else pixels,
        labels,
        [listing.names[row] for row in rows.kept],
        classes,
        listing.folder,
        rows.kept,
        rows.left_out,
        tuple(notices),
        digest_of(repr(rule), rows.scan.digests[rows.kept], labels, "\0".join(classes)),
        None if isinstance(rows.listing.images, PixelImages) else rows.scan.digests[rows.kept],
        rows.scan.width[rows.kept] * rows.scan.height[rows.kept],
        None if rows.listing.scores is None else rows.listing.scores[rows.kept],
        source=rows.listing.images.source
        if isinstance(rows.listing.images, StoredImages)
        else None,
    )


def _color(data: Data) -> tuple[int, int, int]:
    red, green, blue, *_ = ImageColor.getrgb(data.background)
    return red, green, blue


def _scans(data: Data) -> Path | None:
    """Return the folder where scans are kept; None where there is no home folder."""
    try:
        return home_expanded(data.root) / "scans"
    except DataError:
        return None


def _pixels(sizes: Counter[tuple[int, int]]) -> int:
    return sum(width * height * count for (width, height), count in sizes.items())


def _in_memory(sizes: Counter[tuple[int, int]], rule: Rule, data: Data) -> bool:
    """Return whether the decoded images are kept in memory."""
    if data.load != "auto":
        return data.load == "memory"
    pixels = _pixels(sizes) if rule.size is None else sizes.total() * rule.size**2
    if data.memory_gb != "auto":
        return pixels * rule.channels <= data.memory_gb * 10**9
    return pixels * rule.channels <= memory_to_use()


def memory_to_use() -> int:
    """Return how many bytes of memory one thing may take up here, such as all images."""
    memory = psutil.virtual_memory()
    most: int = min(_limit(memory.total) // 4, memory.available // 2)
    return most


def _limit(total: int) -> int:
    """Return the bytes of memory that this process may use: the machine's, or its container's."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return min(total, int(Path(path).read_text()))
        except (OSError, ValueError):  # no such limit, or "max"
            continue
    return total

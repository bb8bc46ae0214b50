"""Classes that hold a labelled image data set.

Legend: N images, H × W pixels, C colour channels (1 or 3).
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.data.images import EncodedImages, Source, digest_of
from rayred.data.listing import LeftOut
from rayred.errors import DataError
from rayred.files import replacing


@dataclass(frozen=True)
class Split:
    """Labelled images of one split, in data set order."""

    images: NDArray[np.uint8] | EncodedImages
    """(N, H, W, C) uint8, or encoded images that are decoded when indexed."""
    labels: NDArray[np.int64]
    """(N,) indices into `classes`."""
    names: Sequence[str]
    """N names of the images for messages and listings, such as paths."""
    classes: tuple[str, ...]
    """Class names, in label order."""
    folder: Path | None = None
    """Folder that the names are relative to; `None` if the images are not files."""
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(N,) int64 ascending, the row in the user's data of each image; by default 0 to N − 1."""
    left_out: tuple[LeftOut, ...] = ()
    """What the user's data has beside the images."""
    notices: tuple[str, ...] = ()
    """What was chosen of several possibilities, and what is unusual."""
    digest: str = ""
    """Digest of encoded images, labels, class names and decoding; by default of the pixels."""
    digests: NDArray[np.uint8] | None = None
    """(N, 16) digest of the encoded bytes of each image; None where there are only pixels."""
    areas: NDArray[np.int64] | None = None
    """(N,) pixels of each image as the user has it; None where all have one size."""
    scores: NDArray[np.float64] | None = None
    """(N,) numbers of the column `data.score_column`, NaN where there is none; None without it."""
    source: Source | None = None
    """Table that `rows` are rows of; None if the images are in none."""

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.labels):
            object.__setattr__(self, "rows", np.arange(len(self.labels)))
        if not self.digest:
            if isinstance(self.images, EncodedImages):
                raise ValueError("encoded images need a digest")
            digest = digest_of(self.images, self.labels, "\0".join(self.classes))
            object.__setattr__(self, "digest", digest)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def named_digest(self) -> str:
        """Digest of the images and their names, for what is written by name."""
        return digest_of(self.digest, "\0".join(self.names))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height and width in pixels, and number of channels."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def part(self, first: int, end: int) -> Split:
        """Return the images from `first` to `end` − 1, without copying or decoding pixels."""
        return self._chosen(slice(first, min(end, len(self))))

    def take(self, rows: NDArray[np.int64]) -> Split:
        """Return the images at `rows`, (n,) int64 ascending; images in memory are copied."""
        return self._chosen(rows)

    def _chosen(self, chosen: slice | NDArray[np.int64]) -> Split:
        images, positions = self.images, np.arange(len(self))[chosen]
        return replace(
            self,
            images=images.take(positions) if isinstance(images, EncodedImages) else images[chosen],
            labels=self.labels[chosen],
            names=[self.names[position] for position in positions],
            rows=self.rows[chosen],
            digests=None if self.digests is None else self.digests[chosen],
            areas=None if self.areas is None else self.areas[chosen],
            scores=None if self.scores is None else self.scores[chosen],
            digest=digest_of(self.digest, positions),
        )

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where rows of the user's data, (n,) int64, are among the images.

        Raises
        ------
        DataError
            A row is none of the images'.
        """
        places = np.searchsorted(self.rows, rows)
        if not np.array_equal(self.rows[np.minimum(places, len(self) - 1)], rows):
            raise DataError("there are rows of images that the data set does not have")
        return places

    def fingerprints(self) -> NDArray[np.uint8]:
        """Return a digest of each image and the name of its class, (N, 16)."""
        digests = self.digests
        if digests is None:
            digests = _digests(
                self.images[rows].tobytes() for rows in np.arange(len(self))[:, None]
            )
        classes = _digests(name.encode("utf-8", "surrogateescape") for name in self.classes)
        return digests ^ classes[self.labels]

    def n_rows(self) -> int:
        """Return the number of rows of the user's data, with those that are left out."""
        return len(self) + sum(one.row is not None for one in self.left_out)

    def class_sizes(self) -> NDArray[np.int64]:
        """Return the number of images of each class, (number of classes,) int64."""
        return np.bincount(self.labels, minlength=len(self.classes))


@dataclass(frozen=True)
class Dataset:
    """A labelled image data set: training and test split.

    Raises `DataError` unless both have images of the same classes and shape.
    """

    name: str
    """Name for tables and messages."""
    train: Split
    """Training images."""
    test: Split
    """Test images; the training images where the data set has no others."""
    digest: str = field(init=False)
    """Digest of both splits."""

    def __post_init__(self) -> None:
        check_splits(self.name, self.train, self.test)
        object.__setattr__(self, "digest", digest_of(self.train.digest, self.test.digest))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in label order."""
        return self.train.classes

    def facts(self) -> dict[str, str | int]:
        """Return name, digest, number of classes and split sizes, as in ``results.json``."""
        return {
            "name": self.name,
            "digest": self.digest,
            "classes": len(self.classes),
            "n_train": len(self.train),
            "n_test": len(self.test),
        }

    def splits(self) -> dict[str, Split]:
        """Return the splits by name: one where it is trained and tested on the same images."""
        return {"train": self.train} | ({} if self.test is self.train else {"test": self.test})

    def notices(self) -> list[str]:
        """Return what a user should know of how the data set was read, and what it leaves out."""
        found: list[str] = []
        for title, split in self.splits().items():
            found += split.notices
            reasons = Counter(one.reason.partition(":")[0] for one in split.left_out)
            counts = ", ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common())
            if counts:
                found.append(f"left out of the {title} split: {counts}")
        return list(dict.fromkeys(found))

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of the training pixels per channel, in [0, 1].

        They are computed from at most 10,000 evenly spaced training images.
        """
        indices = np.linspace(0, len(self.train) - 1, min(len(self.train), 10_000)).astype(np.int64)
        channels = self.train.image_shape[2]
        total, squares, count = np.zeros(channels), np.zeros(channels), 0
        for part in np.array_split(indices, max(1, len(indices) // 250)):
            pixels = self.train.images[part].reshape(-1, channels) / np.float64(255)
            total, squares = total + pixels.sum(axis=0), squares + (pixels**2).sum(axis=0)
            count += len(pixels)
        mean = total / count
        deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
        return tuple(mean.tolist()), tuple(np.maximum(deviation, 1e-3).tolist())


def write_left_out(path: Path, splits: Mapping[str, Split]) -> None:
    """Write what is left out of each split: columns split, row, name and reason."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["split", "row", "name", "reason"])
        for title, split in splits.items():
            for one in split.left_out:
                name = os.fsencode(one.name).decode("utf-8", "backslashreplace")
                table.writerow([title, "" if one.row is None else one.row, name, one.reason])


def check_splits(name: str, train: Split, test: Split) -> None:
    """Raise `DataError` unless both splits have images of the same classes and shape."""
    if train.classes != test.classes:
        raise DataError(f"{name}: {differing_classes(train.classes, test.classes)}")
    if train.image_shape != test.image_shape:
        raise DataError(
            f"{name}: training images have (height, width, channels) {train.image_shape}, test"
            f" images {test.image_shape}; set data.image_size to resize both to one size"
        )
    for title, split in (("training", train), ("test", test)):
        check_classes(f"{name}: {title} split", split)


def check_classes(where: str, split: Split) -> None:
    """Raise `DataError` if a class name is used twice or a class has no image."""
    doubled = [label for label, count in Counter(split.classes).items() if count > 1]
    if doubled:
        raise DataError(f"{where}: class name {doubled[0]!r} is used twice")
    for label, size in zip(split.classes, split.class_sizes(), strict=True):
        if size == 0:
            raise DataError(f"{where}: class {label!r} has no images; expected at least one")


def differing_classes(train: Sequence[str], test: Sequence[str]) -> str:
    """Return how the classes of two splits differ."""
    only_train, only_test = sorted(set(train) - set(test)), sorted(set(test) - set(train))
    return (
        "the classes of the training and the test split differ"
        f" (only in training: {_listed(only_train)}; only in test: {_listed(only_test)})"
    )


def _digests(contents: Iterable[bytes]) -> NDArray[np.uint8]:
    """Return the digest of each content, (n, 16)."""
    found = [hashlib.blake2b(content, digest_size=16).digest() for content in contents]
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, 16)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return (shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")) or "none"

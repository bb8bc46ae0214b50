"""Classes that hold a labelled image data set, and checks of it.

Legend: N images, H × W pixels, C colour channels (1 or 3).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.data.decode import ImageFiles
from rayred.errors import DataError


@dataclass(frozen=True)
class Split:
    """Labelled images of one split, in data set order."""

    images: NDArray[np.uint8] | ImageFiles
    """(N, H, W, C) uint8, or encoded images that are decoded when indexed."""
    labels: NDArray[np.int64]
    """(N,) indices into `classes`."""
    names: Sequence[str]
    """N names of the images for messages and listings, such as paths."""
    classes: tuple[str, ...]
    """Class names, in label order."""
    folder: Path | None = None
    """Folder that the names are relative to; `None` if the images are not files."""
    skipped: tuple[str, ...] = ()
    """``"NAME: REASON"`` of each image left out because it cannot be decoded."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height and width in pixels, and number of channels."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def part(self, first: int, end: int) -> Split:
        """Return the images from `first` to `end` − 1, without copying or decoding pixels."""
        rows, images = slice(first, end), self.images
        if isinstance(images, ImageFiles):
            return self.take(np.arange(first, min(end, len(self))))
        return replace(
            self,
            images=images[rows],
            labels=self.labels[rows],
            names=self.names[rows],
        )

    def take(self, rows: NDArray[np.int64]) -> Split:
        """Return the images at `rows`, (n,) int64; images in memory are copied."""
        images = self.images
        return replace(
            self,
            images=images.take(rows) if isinstance(images, ImageFiles) else images[rows],
            labels=self.labels[rows],
            names=[self.names[row] for row in rows],
        )

    def class_sizes(self) -> NDArray[np.int64]:
        """Return the number of images of each class, (number of classes,) int64."""
        return np.bincount(self.labels, minlength=len(self.classes))


@dataclass(frozen=True)
class Dataset:
    """A labelled image data set: training and test split.

    Raises `DataError` unless both have images of the same classes and shape.
    """

    name: str
    train: Split
    test: Split
    digest: str = field(init=False)
    """Digest of the images (of streamed ones: their fingerprint), labels and class names."""

    def __post_init__(self) -> None:
        check_splits(self.name, self.train, self.test)
        object.__setattr__(self, "digest", _digest(self.train, self.test))

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

    def skipped(self) -> list[str]:
        """Return ``"NAME: REASON"`` of all images left out because they cannot be decoded."""
        return list(dict.fromkeys([*self.train.skipped, *self.test.skipped]))

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


def check_splits(name: str, train: Split, test: Split) -> None:
    """Raise `DataError` unless both splits have images of the same classes and shape."""
    if train.classes != test.classes:
        only_train = sorted(set(train.classes) - set(test.classes))
        only_test = sorted(set(test.classes) - set(train.classes))
        raise DataError(
            f"{name}: the classes of the training and the test split differ"
            f" (only in training: {_listing(only_train)}; only in test: {_listing(only_test)})"
        )
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


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return (shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")) or "none"


def _digest(*splits: Split) -> str:
    total = hashlib.sha256()
    for split in splits:
        if isinstance(split.images, ImageFiles):
            total.update(split.images.fingerprint().encode())
        else:
            total.update(repr(split.images.shape).encode())
            total.update(np.ascontiguousarray(split.images).data)
        total.update(np.ascontiguousarray(split.labels).data)
        total.update("\0".join(split.classes).encode())
    return total.hexdigest()[:32]

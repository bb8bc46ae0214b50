"""Images of a data set that another one, which one has, holds already.

Legend: N images, k of them known, M images that one has, D embedding dimensions.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.array_files import read_embeddings
from rayred.clustering.nearest import Nearest
from rayred.config import Data
from rayred.config.experiment import is_dataset_name
from rayred.config.paths import absolute_dataset
from rayred.data import LeftOut, Split, load_train_split
from rayred.data.listing import one_line
from rayred.errors import ConfigError, DataError
from rayred.store import Stage

logger = logging.getLogger(__name__)

DIGEST = 8
"""Digits by which two data sets of one name are told apart in words."""


@dataclass(frozen=True)
class Owned:
    """The data set that one has."""

    name: str
    """Name of the data set, or file of embeddings."""
    images: Split | None
    """M images; None where there are embeddings alone."""
    x: NDArray[Any] | None = None
    """(M, D) what they are compared by, if it is given."""

    @classmethod
    def of(cls, name: str, images: Split, data: Data, *, by_file: bool) -> Owned:
        """Load the data set that one has, as the images that are compared with it are loaded.

        Parameters
        ----------
        name
            A data set, of which the training split is taken, or all images of a folder at any
            depth, without labels; or a file of embeddings.
        images
            The images that are compared with it.
        data
            How those are read.
        by_file
            Whether embeddings of both are in files.

        Raises
        ------
        ConfigError
            One of the two is embeddings, and the other one is not.
        DataError
            It cannot be read, or not as images of the same shape.
        """
        if by_file == is_dataset_name(name):
            raise ConfigError(
                f"prune: against {name}: embeddings are compared with embeddings: give a file for"
                " both, or for none"
            )
        if by_file:
            return cls(name, None, read_embeddings(Path(name)))
        height, width, _ = images.image_shape
        changed: dict[str, Any] = {
            "test": None,
            "unlabelled": True,
            "score_column": None,
            "image_column": "auto",
            "image_size": width if height == width else None,
        }
        owned = load_train_split(name, data.model_copy(update=changed))
        theirs = owned.image_shape[:2]
        if theirs != (height, width):
            raise DataError(
                f"{name}: its images are {theirs[1]} × {theirs[0]} pixels, the others"
                f" {width} × {height}; bring all to one size with --set data.image_size=SIDE"
            )
        if owned.left_out:
            logger.warning("%s: %d files or rows are left out", name, len(owned.left_out))
        return cls(name, owned)

    def names(self) -> Sequence[str]:
        """Return M names."""
        if self.images is not None:
            return self.images.names
        assert self.x is not None
        return [f"row {row}" for row in range(len(self.x))]

    def sentence(self) -> str:
        """Return the data set in words: another text for other images or embeddings."""
        if self.images is not None:
            digest = self.images.named_digest
        else:
            assert self.x is not None
            digest = keys.array(self.x)
        return f"{absolute_dataset(self.name)} ({digest[:DIGEST]})"


@dataclass(frozen=True)
class Known:
    """The images that the data set that one has holds already."""

    images: Split
    """All N images."""
    owned: Owned
    place: NDArray[np.int64]
    """(k,) int64 ascending, which of the images are known."""
    match: NDArray[np.int64]
    """(k,) the closest image of the data set that one has."""
    distance: NDArray[np.float64]
    """(k,) cosine distance to it."""

    @classmethod
    def within(cls, images: Split, owned: Owned, nearest: Nearest, limit: float) -> Known:
        """Return the images of which one within a cosine distance is there."""
        place = np.flatnonzero(nearest.distance <= limit)
        return cls(images, owned, place, nearest.other[place], nearest.distance[place])

    def columns(self) -> dict[str, list[Any]]:
        """Return the columns of ``known.csv``."""
        names, classes = self.owned.names(), self.images.classes
        return {
            "name": [self.images.names[image] for image in self.place],
            "class": [classes[self.images.labels[image]] for image in self.place],
            "row": self.images.rows[self.place].tolist(),
            "match": [names[image] for image in self.match],
            "distance": self.distance.tolist(),
        }

    def farthest(self) -> tuple[str, str, float]:
        """Return the known image farthest from what one has, that image, and their distance."""
        one = int(self.distance.argmax())
        ours, theirs = self.images.names, self.owned.names()
        return ours[self.place[one]], theirs[self.match[one]], float(self.distance[one])

    def others(self) -> Split:
        """Return the images that are not known, of the classes that are left.

        Raises
        ------
        DataError
            There are none.
        """
        rest = np.setdiff1d(np.arange(len(self.images)), self.place)
        if not len(rest):
            raise DataError(
                f"{self.owned.name} has all {len(self.images):,} images already, within this"
                " distance"
            )
        split = self.images.take(rest)
        present = np.unique(split.labels)
        columns = self.columns()
        known = [
            LeftOut(name, f"{self.owned.name} has it", row)
            for name, row in zip(columns["name"], columns["row"], strict=True)
        ]
        return replace(
            split,
            labels=np.searchsorted(present, split.labels),
            classes=tuple(split.classes[label] for label in present),
            left_out=(*split.left_out, *known),
        )


def _save(folder: Path, known: Known) -> None:
    columns = known.columns()
    with (folder / "known.csv").open(
        "w", newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for name, kind, row, match, distance in zip(*columns.values(), strict=True):
            named = one_line(name), one_line(kind), row, one_line(match)
            writer.writerow([*named, f"{distance:.9g}"])


def _save_nearest(folder: Path, nearest: Nearest) -> None:
    np.savez(folder / "nearest.npz", other=nearest.other, distance=nearest.distance)


def _load_nearest(folder: Path) -> Nearest:
    with np.load(folder / "nearest.npz") as file:
        return Nearest(file["other"], file["distance"])


NEAREST = Stage[Nearest, Nearest]("nearest", _save_nearest, _load_nearest, shown=False)
"""The nearest image that one has of each image."""
KNOWN = Stage[Known, None]("known", _save, lambda _: None)
"""The table of the images that the data set that one has holds already."""

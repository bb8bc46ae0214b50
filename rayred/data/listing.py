"""What a source lists before any image is opened: rows, labels, names, and what it leaves out.

Legend: N images.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.data.images import Images

ONE_CLASS = ("images",)
"""The class of images that have no labels."""


@dataclass(frozen=True)
class LeftOut:
    """An image, file or folder that is not used."""

    name: str
    reason: str
    row: int | None = None
    """Row of the user's data; None for what is no row of it."""


@dataclass(frozen=True)
class Listing:
    """The rows of one split, in the order of the user's data."""

    images: Images
    """N images."""
    labels: NDArray[np.int64]
    """(N,) indices into `classes`; -1 where there is no label."""
    classes: tuple[str, ...]
    """Class names, Unicode-normalised; some may have no image."""
    names: Sequence[str]
    """N names."""
    folder: Path | None = None
    """Folder that the names are relative to; None if the images are not files."""
    left_out: tuple[LeftOut, ...] = ()
    """What is no row, such as hidden files."""
    notices: tuple[str, ...] = ()
    """What was chosen of several possibilities."""
    problems: tuple[str, ...] = ()
    """What is wrong, unless `data.undecodable` is skip."""
    scores: NDArray[np.float64] | None = None
    """(N,) numbers of the column `data.score_column`, NaN where there is none; None without it."""

    def unlabelled(self) -> Listing:
        """Return the rows as one class."""
        return replace(self, labels=np.zeros(len(self.labels), np.int64), classes=ONE_CLASS)


def normalised(name: str) -> str:
    """Return a name in the composed form of Unicode, in which equal names are equal."""
    return unicodedata.normalize("NFC", name)


def one_line(name: str) -> str:
    """Return a name in one line: line breaks within it as a backslash and n or r."""
    return name.replace("\n", "\\n").replace("\r", "\\r")

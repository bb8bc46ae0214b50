"""Images by row: encoded, as their source has them, and decoded when they are indexed.

Legend: N images, n of them chosen, H × W pixels, C colour channels (1 or 3).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rayred.data.rule import Box, Encoded, Rule, UndecodableError
from rayred.errors import DataError

if TYPE_CHECKING:
    import datasets

IMAGE = "image"
"""Column of the images in what a `Source` opens: a struct of bytes and path."""
PARTS = 16
"""Parts of a batch that threads take from each other."""


def digest_of(*parts: str | NDArray[np.generic]) -> str:
    """Return the digest of texts and arrays, of arrays with their shape and type."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode("utf-8", "surrogateescape") + b"\0")
        else:
            total.update(f"{part.shape}{part.dtype.str}".encode())
            total.update(np.ascontiguousarray(part).data)
    return total.hexdigest()[:32]


class Images(Protocol):
    """N images as their source has them."""

    def __len__(self) -> int: ...

    def read(self, rows: NDArray[np.int64]) -> Sequence[Encoded]:
        """Return the images at `rows`, (n,) int64; empty bytes where there is none."""

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the images at `rows`, (n,) int64, without reading them."""

    def stamp(self) -> str:
        """Return a text that is another one when files have another path, size or time."""


@dataclass(frozen=True)
class PixelImages:
    """Images that a library hands out decoded."""

    pixels: NDArray[np.uint8]
    """(N, H, W, C) uint8."""

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, rows: NDArray[np.int64]) -> Sequence[Encoded]:
        """Return the (H, W, C) pixels of the images at `rows`, (n,) int64."""
        return list(self.pixels[rows])

    def take(self, rows: NDArray[np.int64]) -> PixelImages:
        """Return a copy of the images at `rows`, (n,) int64."""
        return PixelImages(self.pixels[rows])

    def stamp(self) -> str:
        """Return the digest of the pixels."""
        return digest_of(self.pixels)


@dataclass(frozen=True)
class FileImages:
    """Image files that every node can open."""

    paths: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: NDArray[np.int64]) -> Sequence[Encoded]:
        """Return the paths of the images at `rows`, (n,) int64."""
        return [self.paths[row] for row in rows.tolist()]

    def take(self, rows: NDArray[np.int64]) -> FileImages:
        """Return the images at `rows`, (n,) int64, without reading them."""
        return FileImages(tuple(self.paths[row] for row in rows.tolist()))

    def stamp(self) -> str:
        """Return a digest of the paths, sizes and times of the files."""
        lines = []
        for path in self.paths:
            try:
                status = os.stat(path)  # noqa: PTH116 - a million paths need not become objects
                lines.append(f"{path}\0{status.st_size}\0{status.st_mtime_ns}")
            except OSError as error:
                lines.append(f"{path}\0{error.errno}")
        return digest_of("\n".join(lines))


class Source(Protocol):
    """A table whose rows are the images of a data set; small, and sent to every node."""

    def open(self) -> datasets.Dataset:
        """Return the images in their column `IMAGE`; what has to be fetched is fetched once a node.

        Raises
        ------
        DataError
            They cannot be read.
        """

    def stamp(self) -> str:
        """Return a text that is another one when files have another path, size or time."""

    def part(self, rows: NDArray[np.int64]) -> tuple[Source, NDArray[np.int64]]:
        """Return what has to be opened for some rows, (n,) int64, and the rows in that, (n,)."""

    def write(self, rows: NDArray[np.int64], folder: Path) -> None:
        """Write some rows, (n,) int64 ascending, with all columns into a folder that is not there.

        They are in the layout that the source has, see the classes of sources.

        Raises
        ------
        DataError
            They cannot be read.
        OSError
            They cannot be written.
        """


def images_of(opened: datasets.Dataset, column: str) -> datasets.Dataset:
    """Return the images in a column of a data set, encoded, in the column `IMAGE`."""
    from datasets import Image

    images = opened.select_columns([column]).cast_column(column, Image(decode=False))
    return images if column == IMAGE else images.rename_column(column, IMAGE)


@dataclass(frozen=True)
class StoredImages:
    """Encoded images of a data set of Hugging Face `datasets`, opened once a process."""

    source: Source
    rows: NDArray[np.int64] = field(repr=False)
    """(N,) int64, the row in the source of each image."""

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: NDArray[np.int64]) -> Sequence[Encoded]:
        """Return the images at `rows`, (n,) int64: bytes, or a path where there are none."""
        if len(rows) == 0:
            return []
        found = []
        for chunk in self._opened[self.rows[rows].tolist()].column(IMAGE).chunks:
            encoded, paths = (values.to_pylist() for values in chunk.flatten())
            found += [
                content if content is not None else path or b""
                for content, path in zip(encoded, paths, strict=True)
            ]
        return found

    def take(self, rows: NDArray[np.int64]) -> StoredImages:
        """Return the images at `rows`, (n,) int64, with what they need of the source, not read."""
        return StoredImages(*self.source.part(self.rows[rows]))

    def stamp(self) -> str:
        """Return a digest of the source's stamp and the rows."""
        return digest_of(self.source.stamp(), self.rows)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_opened"}

    @cached_property
    def _opened(self) -> Any:
        return self.source.open().with_format("arrow")


@dataclass(frozen=True)
class EncodedImages:
    """Images that are indexed as an array, and decoded then: ``images[rows]``."""

    images: Images
    """N images."""
    rule: Rule
    size: tuple[int, int]
    """Height and width of the decoded images, in pixels."""
    names: Sequence[str] = field(repr=False)
    """N names, for messages."""

    @classmethod
    def of_pixels(cls, pixels: NDArray[np.uint8], names: Sequence[str]) -> Self:
        """Return images in memory, (N, H, W, C) uint8, as ones of which boxes can be cut out."""
        _, height, width, channels = pixels.shape
        rule = Rule(channels=1 if channels == 1 else 3)
        return cls(PixelImages(pixels), rule, (height, width), names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all decoded images, (N, H, W, C)."""
        return len(self.images), *self.size, self.rule.channels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at `rows`, (n,) int64, as (n, H, W, C) uint8."""
        return self.crop(rows, None)

    def take(self, rows: NDArray[np.int64]) -> EncodedImages:
        """Return the images at `rows`, (n,) int64, without decoding them."""
        names = [self.names[row] for row in rows]
        return replace(self, images=self.images.take(rows), names=names)

    def decode(
        self, encoded: Encoded, box: Callable[[int, int], Box] | None = None
    ) -> NDArray[np.uint8]:
        """Return an image as (H, W, C) uint8, all of it or a box cut out and resized.

        Raises
        ------
        UndecodableError
            It cannot be decoded.
        """
        pixels = self.rule.decode(encoded, box)
        if pixels.shape != self.shape[1:]:
            raise UndecodableError(
                f"it has {pixels.shape[1]} × {pixels.shape[0]} pixels, where its first bytes say"
                f" {self.size[1]} × {self.size[0]}"
            )
        return pixels

    def crop(
        self,
        rows: NDArray[np.int64],
        boxes: Callable[[int, int, int], Box] | None,
        threads: ThreadPoolExecutor | None = None,
    ) -> NDArray[np.uint8]:
        """Return images of which a box is cut out and resized, (n, H, W, C) uint8.

        Parameters
        ----------
        rows
            (n,) int64, the images to decode.
        boxes
            Function of (position in `rows`, width, height) that returns left, upper, right and
            lower edge of the box in pixels of the whole image; `None` for what the rule leaves.
        threads
            Pool to decode in; `None` for the calling thread.

        Raises
        ------
        DataError
            An image cannot be decoded.
        """
        encoded = self.images.read(rows)
        decoded = np.empty((len(rows), *self.shape[1:]), np.uint8)

        def decode_one(position: int) -> None:
            box = None
            if boxes is not None:

                def box(width: int, height: int) -> Box:
                    return boxes(position, width, height)

            try:
                decoded[position] = self.decode(encoded[position], box)
            except UndecodableError as error:
                raise DataError(
                    f"{self.names[rows[position]]}: cannot decode the image: {error}; repair or"
                    " remove it, or set data.undecodable: skip"
                ) from error

        def decode_some(positions: range) -> None:
            for position in positions:
                decode_one(position)

        if threads is None:
            decode_some(range(len(rows)))
        else:
            # Parts rather than images: to hand over a small image takes as long as to decode it.
            parts = [range(first, len(rows), PARTS) for first in range(min(PARTS, len(rows)))]
            list(threads.map(decode_some, parts))
        return decoded

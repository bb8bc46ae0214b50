"""Decoding of image files and encoded bytes into uint8 arrays, in parallel threads.

Pillow releases the interpreter lock while it decodes, so threads scale with cores.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rayred.config import Data
from rayred.errors import DataError

Encoded = Path | bytes
Box = tuple[float, float, float, float]
_DECODING_ERRORS = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


class ImageSource(Protocol):
    """A sequence of encoded images."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Encoded: ...

    def name(self, index: int) -> str:
        """Return a name of the image for messages."""

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the images at `rows`, (n,) int64."""

    def fingerprint(self) -> str:
        """Return a digest that identifies the images, computed without reading them."""


@dataclass(frozen=True)
class FilePaths:
    """Image files that every worker can open."""

    paths: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Path:
        return Path(self.paths[index])

    def name(self, index: int) -> str:
        """Return the path."""
        return self.paths[index]

    def take(self, rows: NDArray[np.int64]) -> FilePaths:
        """Return the files at `rows`, (n,) int64."""
        return FilePaths(tuple(self.paths[row] for row in rows))

    def fingerprint(self) -> str:
        """Return a digest of the paths and sizes of the files."""
        total = hashlib.sha256()
        for path in self.paths:
            total.update(f"{path}\0{Path(path).stat().st_size}\n".encode())
        return total.hexdigest()


@dataclass(frozen=True)
class ImageFiles:
    """Encoded images that are indexed as an array, and decoded then: ``files[indices]``."""

    source: ImageSource
    """N images."""
    image_size: int
    """Side of the decoded images, in pixels."""
    channels: int
    """1 (grey) or 3 (RGB)."""
    center_crop: float = 1.0
    """Side of the central crop, as a share of the shorter side of an image."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all decoded images, (N, H, W, C)."""
        return len(self.source), self.image_size, self.image_size, self.channels

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the images at `indices`, centrally cropped and resized, (n, H, W, C) uint8."""
        return self.crop(indices, None)

    def take(self, rows: NDArray[np.int64]) -> ImageFiles:
        """Return the images at `rows`, (n,) int64."""
        return replace(self, source=self.source.take(rows))

    def crop(
        self,
        indices: NDArray[np.int64],
        boxes: Callable[[int, int, int], Box] | None,
        threads: ThreadPoolExecutor | None = None,
    ) -> NDArray[np.uint8]:
        """Return images of which a box is cut out and resized, (n, H, W, C) uint8.

        Parameters
        ----------
        indices
            (n,) int64, the images to decode.
        boxes
            Function of (position in `indices`, width, height) that returns left, upper, right
            and lower edge of the box in pixels; `None` for the central crop.
        threads
            Pool to decode in; `None` for the calling thread.

        Raises
        ------
        DataError
            An image cannot be decoded.
        """
        side = self.image_size

        def decode_one(position: int) -> NDArray[np.uint8]:
            index = int(indices[position])
            try:
                image = _open(self.source[index], self.channels)
            except _DECODING_ERRORS as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # an error of the file system, not of the image: may be retried
                raise DataError(
                    f"{self.source.name(index)}: cannot decode the image: {error}; repair or remove"
                    " it, or set data.undecodable: skip"
                ) from error
            if boxes is None:
                return _as_array(_central(image, side, self.center_crop))
            box = boxes(position, image.width, image.height)
            return _as_array(image.resize((side, side), Image.Resampling.BILINEAR, box=box))

        run = threads.map if threads else map
        decoded = list(run(decode_one, range(len(indices))))
        return np.stack(decoded).reshape(len(indices), side, side, self.channels)

    def fingerprint(self) -> str:
        """Return a digest of the images and of how they are decoded, without reading them."""
        settings = repr((self.image_size, self.channels, self.center_crop))
        return hashlib.sha256((settings + self.source.fingerprint()).encode()).hexdigest()


def image_files(source: ImageSource, data: Data) -> tuple[ImageFiles, dict[int, str]]:
    """Return images to decode when needed, and ``"NAME: REASON"`` by position of those left out.

    Raises
    ------
    DataError
        `data.image_size` is not set, or the first image cannot be decoded.
    """
    if data.image_size is None:
        raise DataError("data.image_size: must be set, in pixels, for images that are streamed")
    # Images are decoded when needed, but those to skip have to be known before.
    broken = _undecodable(source) if data.undecodable == "skip" else {}
    if broken:
        intact = [position for position in range(len(source)) if position not in broken]
        source = source.take(np.array(intact, dtype=np.int64))
    channels = _channels(source) if len(source) else 3
    return ImageFiles(source, data.image_size, channels, data.center_crop), broken


def streams(count: int, data: Data) -> bool:
    """Return whether `count` images are streamed: as `data.load` sets, or by size if ``auto``."""
    if data.load != "auto":
        return data.load == "stream"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return count * 3 * (data.image_size or 0) ** 2 > memory / 4


def decode_all(
    encoded: Sequence[Encoded],
    names: Sequence[str],
    *,
    image_size: int | None,
    center_crop: float,
    undecodable: Literal["fail", "skip"],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    """Decode all images into one array.

    Parameters
    ----------
    encoded, names
        N image files or encoded images, and their names for messages.
    image_size, center_crop
        Side of the decoded images in pixels (`None`: images are not resized), and side of the
        central crop as a share of the shorter side.
    undecodable
        ``fail`` raises on the first image that cannot be decoded; ``skip`` leaves it out.

    Returns
    -------
    images
        (n, H, W, C) uint8; C is 1 if every image is grey, else 3.
    kept
        (n,) int64: their positions among the N.
    skipped
        ``"NAME: REASON"`` of the others.

    Raises
    ------
    DataError
        An image cannot be decoded, images differ in size, or none is left.
    """

    def attempt(position: int) -> NDArray[np.uint8] | str:
        try:
            image = _open(encoded[position])
            if image_size is not None:
                image = _central(image, image_size, center_crop)
            return _as_array(image)
        except _DECODING_ERRORS as error:
            return f"{names[position]}: {error}"

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        outcomes = list(threads.map(attempt, range(len(encoded))))
    skipped = tuple(outcome for outcome in outcomes if isinstance(outcome, str))
    if skipped and undecodable == "fail":
        raise DataError(
            f"cannot decode the image {skipped[0]}"
            + (f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else "")
            + "; repair or remove it, or set data.undecodable: skip"
        )
    kept = [place for place, outcome in enumerate(outcomes) if not isinstance(outcome, str)]
    arrays = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    if not arrays:
        raise DataError("none of the images can be decoded")
    return _stack(arrays, [names[place] for place in kept]), np.array(kept, np.int64), skipped


def _undecodable(source: ImageSource) -> dict[int, str]:
    """Return ``"NAME: REASON"`` of every image that cannot be decoded, by position."""

    def attempt(position: int) -> str | None:
        try:
            _open(source[position])
        except _DECODING_ERRORS as error:
            return f"{source.name(position)}: {error}"
        return None

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        reasons = threads.map(attempt, range(len(source)))
        return {position: reason for position, reason in enumerate(reasons) if reason}


def _channels(source: ImageSource) -> int:
    """Return 1 if the first image is grey, else 3."""
    try:
        return 1 if _open(source[0]).mode == "L" else 3
    except _DECODING_ERRORS as error:
        raise DataError(f"{source.name(0)}: cannot decode the image: {error}") from error


def _open(source: Encoded, channels: int | None = None) -> Image.Image:
    image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"{image.mode} pixels are not supported; expected 8 bits a channel")
    grey = image.mode in ("1", "L") if channels is None else channels == 1
    return image.convert("L" if grey else "RGB")


def _central(image: Image.Image, side: int, center_crop: float) -> Image.Image:
    margin = (1 - center_crop) / 2
    edge = min(image.size)
    left, upper = (
        (image.width - edge) / 2 + margin * edge,
        (image.height - edge) / 2 + margin * edge,
    )
    box = (left, upper, left + center_crop * edge, upper + center_crop * edge)
    return image.resize((side, side), Image.Resampling.BILINEAR, box=box)


def _as_array(image: Image.Image) -> NDArray[np.uint8]:
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _stack(arrays: list[NDArray[np.uint8]], names: Sequence[str]) -> NDArray[np.uint8]:
    channels = max(array.shape[2] for array in arrays)
    size = arrays[0].shape[:2]
    for array, name in zip(arrays, names, strict=True):
        if array.shape[:2] != size:
            raise DataError(
                f"images differ in size: {names[0]} is {size[1]} × {size[0]} pixels, {name} is"
                f" {array.shape[1]} × {array.shape[0]}; set data.image_size to resize all to one"
            )
    return np.stack(
        [a if a.shape[2] == channels else np.repeat(a, channels, axis=2) for a in arrays]
    )

"""Small versions of images, many in one file: sprite sheets in WebP, within a number of bytes.

Legend: N images of H × W pixels and C channels (1 or 3), S sheets.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rayred.data.thumbnails import thumbnail

SIDES = (128, 96, 64, 48, 32)
"""Largest sides of the small images in pixels, the first that fits is taken."""
QUALITIES = (80, 65, 50, 40, 30, 20, 12, 6)
"""WebP's quality, 0 to 100; below the first only where even the smallest images are too large."""
TINY = 24
"""Images whose largest side is at most so many pixels are kept without loss."""
SHEET_SIDE = 1024
"""Side of a sheet in pixels, or less."""
BLOCK = 16
"""Side of WebP's blocks in pixels: images that begin with one do not bleed into each other."""
SAMPLE = 256
"""Images by which the number of bytes is estimated."""
LARGEST = 16_383
"""Largest side of a WebP file in pixels."""

Decode = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Takes (n,) places, and returns the (n, H, W, C) images there."""


@dataclass(frozen=True)
class Sheets:
    """N small images, left to right and top to bottom, sheet after sheet."""

    width: int
    """Width of an image in pixels."""
    height: int
    cell_width: int
    """Pixels from the left of an image to that of the next."""
    cell_height: int
    columns: int
    """Images side by side."""
    rows: int
    """Images one above another on a full sheet."""
    files: tuple[bytes, ...]
    """S WebP files."""


def make_sheets(decode: Decode, n: int, shape: tuple[int, int, int], most_bytes: int) -> Sheets:
    """Return sheets of all images that take about `most_bytes` at most.

    Parameters
    ----------
    decode
        Returns images by place, 0 to N − 1; those next to each other are asked for together.
    n
        N.
    shape
        H, W and C.
    most_bytes
        Bytes of all files; where even the smallest and coarsest images take more, these are taken.
    """
    height, width, _ = shape
    if max(height, width) <= TINY:
        plan = _Plan(width, height, 1, lossless=True)
        return plan.sheets(decode, n)
    sample = decode(np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64)))
    plans = [_Plan.of(shape, side, QUALITIES[0]) for side in SIDES if side <= max(height, width)]
    smallest = min(min(SIDES), max(height, width))
    plans += [_Plan.of(shape, smallest, quality) for quality in QUALITIES]
    for plan in plans:
        taken = sum(len(file) for file in plan.sheets(sample.__getitem__, len(sample)).files)
        if taken * n <= most_bytes * len(sample):
            break
    return plan.sheets(decode, n)


@dataclass(frozen=True)
class _Plan:
    """How images are made small and packed."""

    width: int
    height: int
    block: int
    quality: int = 100
    lossless: bool = False

    @classmethod
    def of(cls, shape: tuple[int, int, int], side: int, quality: int) -> _Plan:
        scale = side / max(shape[:2])
        height, width = (max(1, round(length * scale)) for length in shape[:2])
        return cls(width, height, BLOCK, quality)

    def sheets(self, decode: Decode, n: int) -> Sheets:
        cell_width, cell_height = (-(-side // self.block) * self.block for side in self.size())
        columns = max(1, min(SHEET_SIDE, LARGEST) // cell_width)
        rows = max(1, SHEET_SIDE // cell_height)
        files = tuple(
            self._sheet(decode(np.arange(first, min(first + columns * rows, n))), columns)
            for first in range(0, n, columns * rows)
        )
        return Sheets(self.width, self.height, cell_width, cell_height, columns, rows, files)

    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def _sheet(self, images: NDArray[np.uint8], columns: int) -> bytes:
        small = np.stack([_shaped(thumbnail(image, self.size())) for image in images])
        rows = -(-len(small) // columns)
        columns = min(columns, len(small)) if rows == 1 else columns
        pad_height, pad_width = (-length % self.block for length in small.shape[1:3])
        cells = np.pad(small, [(0, 0), (0, pad_height), (0, pad_width), (0, 0)], mode="edge")
        cells = np.concatenate(
            [cells, np.zeros((rows * columns - len(cells), *cells.shape[1:]), np.uint8)]
        )
        height, width, channels = cells.shape[1:]
        grid = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
        sheet = grid.reshape(rows * height, columns * width, channels)
        buffer = io.BytesIO()
        pixels: NDArray[Any] = sheet[:, :, 0] if channels == 1 else sheet
        Image.fromarray(pixels).convert("RGB").save(
            buffer, "WEBP", quality=self.quality, lossless=self.lossless, method=4
        )
        return buffer.getvalue()


def _shaped(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image with an axis of channels."""
    return image[:, :, None] if image.ndim == 2 else image

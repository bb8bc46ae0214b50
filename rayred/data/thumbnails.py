"""Small versions of images as embeddings: the simplest measure of how alike two images look.

Legend: N images, D numbers of a thumbnail.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rayred.data.dataset import Split
from rayred.progress import progress_bar

SIDE = 32
"""Largest side of a thumbnail, in pixels."""
AT_A_TIME = 256
"""Images that are decoded at a time."""


def thumbnails(split: Split) -> NDArray[np.float32]:
    """Return the pixels of small versions of all images, less the mean of each.

    The cosine of two of them is the correlation of their pixels: brightness does not count, where
    things are does. It knows copies and resized copies, and little else.

    Parameters
    ----------
    split
        N images.

    Returns
    -------
    embeddings
        (N, D) float32; an image that is grey all over is all zero.
    """
    size = small_sides(split)
    found = np.empty((len(split), size[0] * size[1] * split.image_shape[2]), np.float32)
    with progress_bar("thumbnails", "image", len(split)) as bar:
        for first in range(0, len(split), AT_A_TIME):
            rows = np.arange(first, min(first + AT_A_TIME, len(split)))
            for row, pixels in zip(rows, split.images[rows], strict=True):
                found[row] = thumbnail(pixels, size).ravel()
            bar.update(len(rows))
    return centred(found)


def small_sides(split: Split) -> tuple[int, int]:
    """Return width and height of the thumbnails of a split, in pixels."""
    height, width, _ = split.image_shape
    return min(width, SIDE), min(height, SIDE)


def centred(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract from each row of (N, D) pixels its mean; overwrites them."""
    found -= found.mean(axis=1, keepdims=True)
    return found


def thumbnail(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return (H, W, C) pixels in another size, (width, height)."""
    if pixels.shape[1::-1] == size:
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))

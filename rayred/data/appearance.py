"""What images look like, in one pass over them: digests of their pixels, perceptual hashes.

The hash is pHash (64 bits: the signs of low frequencies, against their median) of the library
ImageHash, of an image in each of the eight orientations that quarter turns and mirroring give. Two
pictures of the same thing differ in few bits, also if one was encoded again, resized or brightened.

Legend: N images, H × W pixels, C colour channels, D numbers of a thumbnail.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rayred.data.dataset import Split
from rayred.data.thumbnails import AT_A_TIME, centred, small_sides, thumbnail
from rayred.progress import progress_bar

ORIENTATIONS = tuple(
    (f"turned {90 * turns}°" if turns else "") + (" and " if turns and mirrored else "")
    + ("mirrored" if mirrored else "")
    for turns in range(4)
    for mirrored in (False, True)
)  # fmt: skip
"""Names of the eight orientations; empty for an image as it is."""
INVERSE = (0, 1, 6, 3, 4, 5, 2, 7)
"""The orientation that turns each back: of a quarter turn the other one, else itself."""
HASHED_SIDE = 32
"""Side of the image that the hash is computed of, in pixels; the library's."""
HASH_BITS = 64


@dataclass(frozen=True)
class Appearance:
    """What N images look like."""

    pixels: NDArray[np.uint64]
    """(N, 2) digest of the decoded pixels of each image."""
    hashes: NDArray[np.uint64]
    """(N, 8) perceptual hash of each image in each of `ORIENTATIONS`."""
    thumbnails: NDArray[np.float32] | None
    """(N, D) the same as `rayred.data.thumbnails.thumbnails`, if they are wanted."""


def look_at(split: Split, *, thumbnails: bool) -> Appearance:
    """Return what the images of a split look like.

    Parameters
    ----------
    split
        N images.
    thumbnails
        Whether thumbnails are wanted.
    """
    n, sides = len(split), small_sides(split)
    digests = np.empty((n, 2), np.uint64)
    hashes = np.empty((n, len(ORIENTATIONS)), np.uint64)
    width = sides[0] * sides[1] * split.image_shape[2]
    small = np.empty((n if thumbnails else 0, width), np.float32)
    with progress_bar("images", "image", n) as bar:
        for first in range(0, n, AT_A_TIME):
            rows = np.arange(first, min(first + AT_A_TIME, n))
            for row, pixels in zip(rows, split.images[rows], strict=True):
                digest = hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()
                digests[row] = np.frombuffer(digest, np.uint64)
                hashes[row] = perceptual_hashes(pixels)
                if thumbnails:
                    small[row] = thumbnail(pixels, sides).ravel()
            bar.update(len(rows))
    return Appearance(digests, hashes, centred(small) if thumbnails else None)


def perceptual_hashes(pixels: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the hash of an image, (H, W, C), in each of `ORIENTATIONS`, (8,)."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    size = HASHED_SIDE, HASHED_SIDE
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.LANCZOS))
    views = [side for k in range(4) for side in (np.rot90(grey, k), np.rot90(grey, k)[:, ::-1])]
    bits = [imagehash.phash(Image.fromarray(np.ascontiguousarray(view))).hash for view in views]
    packed = np.packbits(np.array(bits).reshape(len(views), -1), axis=1)
    return packed.view(">u8").ravel().astype(np.uint64)

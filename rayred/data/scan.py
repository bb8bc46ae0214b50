"""One look at all images before any is decoded: sizes, colours, damage, and a digest of each.

Legend: N images.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.data.images import EncodedImages, FileImages, Images, PixelImages, digest_of
from rayred.data.opening import as_file
from rayred.data.rule import Encoded, UndecodableError, read_header
from rayred.files import replacing
from rayred.progress import progress_bar

logger = logging.getLogger(__name__)

CHUNK = 16
"""Images that a thread reads at a time: photographs of 10 MB each may be among them."""
DIGEST_BYTES = 16
VERSION = 1
"""Of what is kept of a scan."""


@dataclass(frozen=True)
class Scan:
    """What the encoded images of a split say of themselves."""

    width: NDArray[np.int64]
    """(N,) pixels, as shown; 0 where the image cannot be read."""
    height: NDArray[np.int64]
    grey: NDArray[np.bool_]
    """(N,) whether one channel holds the image without loss."""
    animated: NDArray[np.bool_]
    """(N,) whether there are more frames than the first."""
    digests: NDArray[np.uint8]
    """(N, 16) digest of the encoded bytes of each image."""
    reasons: tuple[str, ...]
    """N texts: why an image cannot be read; empty if it can."""


def scan_images(images: Images, background: tuple[int, int, int], cache: Path | None) -> Scan:
    """Return what all images say of themselves; their pixels are not decoded.

    Parameters
    ----------
    images
        N images.
    background
        Colour behind transparent images; a coloured one makes grey ones coloured.
    cache
        Folder where scans are kept, by paths, sizes and times of the files; None: nowhere.
    """
    if isinstance(images, PixelImages):
        return _of_pixels(images.pixels)
    if len(images) == 0:
        return _of_pixels(np.empty((0, 0, 0, 1), np.uint8))
    place = None
    if cache is not None:
        key = digest_of(str(VERSION), images.stamp(), repr(background))
        place = cache / f"{key}.npz"
        kept = _load(place, len(images))
        if kept is not None:
            return kept
    looks = zip(*_each(images, background), strict=True)
    width, height, grey, animated, digests, reasons, lasting = looks
    scan = Scan(
        np.array(width),
        np.array(height),
        np.array(grey),
        np.array(animated),
        np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES),
        reasons,
    )
    if place is not None and all(lasting):
        _save(place, scan)
    return scan


_One = tuple[int, int, bool, bool, bytes, str, bool]
"""Width, height, grey, animated, digest, reason, and whether this lasts as long as the stamp."""


def _each(images: Images, background: tuple[int, int, int]) -> Iterator[_One]:
    # The stamp of a table does not change with files that its rows name.
    stamped = isinstance(images, FileImages)

    def chunk(first: int) -> list[_One]:
        rows = np.arange(first, min(first + CHUNK, len(images)))
        return [
            _look_at(encoded, background, stamped or not isinstance(encoded, str))
            for encoded in images.read(rows)
        ]

    with (
        progress_bar("reading images", "image", len(images)) as bar,
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        for part in threads.map(chunk, range(0, len(images), CHUNK)):
            bar.update(len(part))
            yield from part


def _look_at(encoded: Encoded, background: tuple[int, int, int], lasting: bool) -> _One:
    digest = bytes(DIGEST_BYTES)
    assert not isinstance(encoded, np.ndarray)
    try:
        with as_file(encoded) as file:
            content = file.read()
        digest = hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
        header = read_header(content, background)
    except (UndecodableError, ValueError) as error:
        return 0, 0, True, False, digest, str(error), lasting
    except OSError as error:  # of the file system: it may be another one the next time
        return 0, 0, True, False, digest, error.strerror or str(error), False
    return header.width, header.height, header.grey, header.animated, digest, "", lasting


def _of_pixels(pixels: NDArray[np.uint8]) -> Scan:
    n, height, width, channels = pixels.shape
    # One digest serves all: the images are one array.
    total = np.frombuffer(bytes.fromhex(digest_of(pixels)), np.uint8)
    return Scan(
        np.full(n, width),
        np.full(n, height),
        np.full(n, channels == 1),
        np.zeros(n, bool),
        np.broadcast_to(total, (n, DIGEST_BYTES)),
        ("",) * n,
    )


def _load(place: Path, n_images: int) -> Scan | None:
    try:
        with np.load(place) as kept:
            reasons = json.loads(str(kept["reasons"]))
            arrays = {f.name: kept[f.name] for f in fields(Scan) if f.name != "reasons"}
    except (OSError, ValueError, KeyError):
        return None
    if any(len(array) != n_images for array in arrays.values()):
        return None
    texts = [""] * n_images
    for row, reason in reasons.items():
        texts[int(row)] = reason
    return Scan(**arrays, reasons=tuple(texts))


def _save(place: Path, scan: Scan) -> None:
    arrays = {f.name: getattr(scan, f.name) for f in fields(scan) if f.name != "reasons"}
    reasons = {row: reason for row, reason in enumerate(scan.reasons) if reason}
    try:
        with replacing(place) as temporary:
            np.savez(temporary, **arrays, reasons=np.array(json.dumps(reasons)))
    except OSError as error:
        logger.debug("what is known of the images is not kept: %s", error)


def decode_all(
    images: EncodedImages, threads: int | None, *, keep: bool = True
) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Decode all images, into one array or only to see whether they can be.

    Parameters
    ----------
    images
        N images.
    threads
        How many are decoded at a time; None for one a core. For small images more than one take
        longer: they wait for each other's Python.
    keep
        Whether to return the pixels.

    Returns
    -------
    pixels
        (N, H, W, C) uint8; those of images that cannot be decoded mean nothing. Empty unless
        they are kept.
    reasons
        Why images cannot be decoded, by position.
    """
    inner = images.images
    if isinstance(inner, PixelImages) and images.shape == inner.pixels.shape:
        return inner.pixels, {}
    pixels = np.empty(images.shape if keep else (0, *images.shape[1:]), np.uint8)

    def chunk(first: int) -> list[tuple[int, str]]:
        rows = np.arange(first, min(first + CHUNK, len(images)))
        reasons = []
        for row, encoded in zip(rows.tolist(), inner.read(rows), strict=True):
            try:
                decoded = images.decode(encoded)
            except UndecodableError as error:
                reasons.append((row, str(error)))
                continue
            if keep:
                pixels[row] = decoded
        return reasons

    reasons: dict[int, str] = {}
    with (
        progress_bar("decoding images", "image", len(images)) as bar,
        ThreadPoolExecutor(threads or os.cpu_count()) as pool,
    ):
        for part in pool.map(chunk, range(0, len(images), CHUNK)):
            bar.update(min(CHUNK, len(images) - bar.n))
            reasons.update(part)
    return pixels, reasons

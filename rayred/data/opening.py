"""Encoded images and image files opened by Pillow: always the same format, size, orientation."""

from __future__ import annotations

import functools
import io
import os
import re
import stat
import warnings
from collections.abc import Callable
from typing import IO, Any

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

# Set once for the process: warnings.catch_warnings is not safe in threads. What Pillow warns of
# (many pixels, damaged EXIF) is decoded all the same, or raised as an error.
for _category in (Image.DecompressionBombWarning, UserWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"PIL\.")

_SMALL = 2**16  # bytes
_ORIENTATION, _WIDTH, _HEIGHT = 274, 256, 257  # tags of EXIF and TIFF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTED = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
_LATE_ORIENTATION = re.compile(rb"eXIf|tiff:Orientation|Raw profile type exif")
# Pillow gives the transparent colour of a PNG in samples as stored, but the pixels in 8 bits.
_KEYS_IN_8_BITS: dict[str, Callable[[Any], Any]] = {
    "L;2": lambda key: key * 85,
    "L;4": lambda key: key * 17,
    "RGB;16B": lambda key: tuple(sample >> 8 for sample in key),
}


def as_file(encoded: bytes | str) -> IO[bytes]:
    """Return bytes, or the file at a path, open for reading.

    Raises
    ------
    ValueError
        There is nothing to read, or the path is not of a file.
    OSError
        The file system cannot give the file.
    """
    if isinstance(encoded, bytes):
        if not encoded:
            raise ValueError("it is empty")
        return io.BytesIO(encoded)
    number = os.open(encoded, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO would block otherwise
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(number)
        if stat.S_ISREG(status.st_mode):
            raise ValueError("the file is empty")
        folder = stat.S_ISDIR(status.st_mode)
        raise ValueError("it is a folder, not a file" if folder else "it is not a regular file")
    file = os.fdopen(number, "rb")
    if status.st_size > _SMALL:
        return file
    # Seeks to before the start, which plugins try in tiny files, fail in a file but not in bytes.
    with file:
        return io.BytesIO(file.read())


def open_image(file: IO[bytes]) -> ImageFile:
    """Return the image in a file, its pixels not yet decoded; raise any error if there is none."""
    image = Image.open(file, formats=_formats())
    # Of a row that is longer than a block, Pillow copies what it has again with each block.
    image.decodermaxblock = max(image.decodermaxblock, 8 * image.width)
    if isinstance(image, TiffImageFile):
        rows = max(extents[3] for _, extents, *_ in image.tile if extents)
        if rows < image.tag_v2[_HEIGHT]:  # Pillow would make the others black
            raise ValueError(f"it has {rows} of its {image.tag_v2[_HEIGHT]} rows of pixels")
    elif image.format == "PNG" and "transparency" in image.info:
        convert = _KEYS_IN_8_BITS.get(str(image.tile[0][3]))
        if convert is not None:
            image.info["transparency"] = convert(image.info["transparency"])
    return image


def turn(image: ImageFile) -> Image.Transpose | None:
    """Return what makes an image upright; decoding, Pillow does it itself for TIFF only."""
    # ImageOps.exif_transpose would also write the EXIF block anew, and fail where it is damaged.
    if _ORIENTED.isdisjoint(image.info) and not isinstance(image, TiffImageFile):
        return None
    try:
        orientation: int = image.getexif().get(_ORIENTATION, 1)
        return _TURNS.get(orientation)
    except Exception:  # noqa: BLE001 -- a damaged EXIF block says nothing; the pixels are intact
        return None


def upright_size(image: ImageFile, file: IO[bytes]) -> tuple[int, int]:
    """Return width and height that an image just opened has when it is decoded and upright."""
    if image.format == "PNG" and _ORIENTED.isdisjoint(image.info):
        file.seek(-min(file.seek(0, io.SEEK_END), _SMALL), io.SEEK_END)
        if _LATE_ORIENTATION.search(file.read()):
            image.load()  # a PNG may tell its orientation behind its pixels
    width, height = image.size
    if isinstance(image, TiffImageFile):  # whose size Pillow has turned, but not for every reason
        width, height = image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT]
    sideways = [_TURNS[orientation] for orientation in (5, 6, 7, 8)]
    return (height, width) if turn(image) in sideways else (width, height)


def is_animated(image: ImageFile) -> bool:
    """Return whether an opened image has more than one frame; another may be current then."""
    if image.format == "PSD":
        return False  # has layers; Pillow gives the merged image
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 -- a damaged second frame does the first no harm
        return False


@functools.cache
def _formats() -> tuple[str, ...]:
    # Pillow's own order depends on what it has opened before. Formats without a signature come
    # last. EPS is left out: it would be drawn by whichever Ghostscript a machine has.
    Image.init()
    others = Image.OPEN.keys() - {"JPEG", "PNG", "EPS"}
    return ("JPEG", "PNG", *sorted(others, key=lambda name: (not Image.OPEN[name][1], name)))

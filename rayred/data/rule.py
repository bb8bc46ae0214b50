"""The one decoding rule of an image: encoded bytes, a file or pixels become a uint8 array.

An image gives the same pixels in memory and when streamed, from bytes and from a file: upright
(EXIF orientation), its first frame only, on a background where it is transparent, 8 bits a sample.

>>> from PIL import Image
>>> file = io.BytesIO()
>>> Image.new("LA", (6, 4), (0, 0)).save(file, "PNG")  # transparent paper
>>> read_header(file.getvalue(), (255, 255, 255))
Header(width=6, height=4, grey=True, animated=False)
>>> Rule(channels=1, size=2).decode(file.getvalue()).tolist()
[[[255], [255]], [[255], [255]]]
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import re
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Encoded = bytes | str | NDArray[np.uint8]
"""An encoded image, the path of an image file, or pixels, (H, W, C) with 1 to 4 channels."""
Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge, in pixels."""
Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

# Set once for the process: warnings.catch_warnings is not safe in threads. What Pillow warns of
# (many pixels, damaged EXIF) is either decoded all the same or raised as UndecodableError.
for _category in (Image.DecompressionBombWarning, UserWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"PIL\.")

# An error number that does not come from the file system: offsets in damaged data that no file
# can have. Pillow's own OSErrors have none.
_DAMAGE = (None, errno.EINVAL, errno.EOVERFLOW)
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTED = frozenset({"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"})
_LATE_ORIENTATION = re.compile(rb"eXIf|tiff:Orientation|Raw profile type exif").search
# Pillow gives the transparent colour of a PNG in the samples of the file, the pixels in 8 bits.
_KEY_IN_8_BITS: dict[str, Callable[[Any], Any]] = {
    "L;2": lambda key: key * 85,
    "L;4": lambda key: key * 17,
    "RGB;16B": lambda key: tuple(sample >> 8 for sample in key),
}

P = ParamSpec("P")
T = TypeVar("T")


class UndecodableError(Exception):
    """Data that cannot be decoded to an image; the message is the reason alone."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image say of it."""

    width: int
    """Pixels, after EXIF orientation is applied."""
    height: int
    """Pixels, after EXIF orientation is applied."""
    grey: bool
    """Whether one channel holds all of it, on the given background."""
    animated: bool
    """Whether there is more than one frame; the first one is used."""


def read_header(encoded: Encoded, background: Colour) -> Header:
    """Return size and kind of an image, without decoding its pixels where the format allows.

    Parameters
    ----------
    encoded
        The image.
    background
        Colour that shows through where the image is transparent.

    Raises
    ------
    UndecodableError
        It is no image, or its header is damaged.
    OSError
        The file system cannot give the file.
    """
    return _guarded(_header, encoded, background)


@dataclass(frozen=True)
class Rule:
    """How images are decoded."""

    channels: Literal[1, 3]
    """1 (for images that are all grey) or 3 (RGB; grey images get three equal channels)."""
    size: int | None = None
    """Side of the decoded images in pixels; `None`: each keeps its own size."""
    center_crop: float = 1.0
    """Side of the central crop, as a share of the shorter side; with `size` and fit ``crop``."""
    fit: Literal["crop", "letterbox"] = "crop"
    """crop: the central square is resized; letterbox: all of the image, in bars of background."""
    background: Colour = (255, 255, 255)
    """Colour behind transparent pixels and of the bars."""

    def decode(
        self, encoded: Encoded, box: Callable[[int, int], Box] | None = None
    ) -> NDArray[np.uint8]:
        """Return the pixels of an image, (H, W, C) uint8; pixels that fit are returned uncopied.

        Parameters
        ----------
        encoded
            The image.
        box
            Function of width and height of the whole upright image, in pixels, that returns the
            box to cut out and resize to `size`, or to the image's own size; `None` for what
            `fit` says.

        Raises
        ------
        UndecodableError
            The image cannot be decoded.
        OSError
            The file system cannot give the file.
        """
        if box is None and isinstance(encoded, np.ndarray) and self._fits(encoded):
            return encoded
        image = _guarded(_upright, encoded, self.background)
        # Errors of `box` are the caller's, not the image's.
        return _guarded(self._pixels, image, box(*image.size) if box is not None else None)

    def _fits(self, pixels: NDArray[np.uint8]) -> bool:
        return self.size is None and pixels.ndim == 3 and pixels.shape[2] == self.channels

    def _pixels(self, image: Image.Image, box: Box | None) -> NDArray[np.uint8]:
        if box is not None or self.size is not None:
            image = self._resized(image, box)
        mode = "L" if self.channels == 1 else "RGB"
        if image.mode != mode:
            image = image.convert(mode)
        pixels = np.asarray(image, dtype=np.uint8)
        return pixels[:, :, None] if pixels.ndim == 2 else pixels

    def _resized(self, image: Image.Image, box: Box | None) -> Image.Image:
        width, height = image.size
        side = self.size
        if side is None:
            return image.resize(image.size, Image.Resampling.BILINEAR, box=box)
        if box is None and self.fit == "letterbox":
            longer = max(width, height)
            fitted = [max(1, (edge * side + longer // 2) // longer) for edge in image.size]
            canvas = Image.new("RGB", (side, side), self.background)
            resized = image.resize(fitted, Image.Resampling.BILINEAR)
            canvas.paste(resized, ((side - fitted[0]) // 2, (side - fitted[1]) // 2))
            return canvas
        if box is None:
            edge = min(width, height)
            margin = (1 - self.center_crop) / 2
            left, upper = (width - edge) / 2 + margin * edge, (height - edge) / 2 + margin * edge
            box = (left, upper, left + self.center_crop * edge, upper + self.center_crop * edge)
        return image.resize((side, side), Image.Resampling.BILINEAR, box=box)


def _guarded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    # Any exception at all: damaged data makes Pillow's 40 plugins raise whatever their parsing
    # stumbles over (struct.error, KeyError, AttributeError, zlib.error, MemoryError and more).
    try:
        return function(*args, **kwargs)
    except Exception as error:
        if isinstance(error, UndecodableError):
            raise
        if isinstance(error, OSError) and error.errno not in _DAMAGE:
            raise  # of the file system, not of the image: may be retried
        if isinstance(error, UnidentifiedImageError):
            reason = "it has no known image format, or its header is damaged"
        elif isinstance(error, MemoryError):
            reason = "it does not fit into memory"
        else:
            reason = " ".join(str(error).split())[:150] or "it is damaged"
            if not isinstance(error, OSError | ValueError | Image.DecompressionBombError):
                reason = f"it is damaged ({type(error).__name__}: {reason})"
        raise UndecodableError(reason) from error


def _header(encoded: Encoded, background: Colour) -> Header:
    if isinstance(encoded, np.ndarray):
        image: Image.Image = _from_pixels(encoded)
        return Header(image.width, image.height, _is_grey(image, background), animated=False)
    with _file(encoded) as file:
        image = _open(file)
        if image.format == "PNG" and _ORIENTED.isdisjoint(image.info):
            file.seek(-min(file.seek(0, io.SEEK_END), 1 << 16), io.SEEK_END)
            if _LATE_ORIENTATION(file.read()):
                image.load()  # PNG lets the orientation stand behind the pixels
        size = image.size
        if tags := getattr(image, "tag_v2", None):  # TIFF; Pillow turns `size` by some tags only
            size = tags[256], tags[257]
        if _orientation(image) in (5, 6, 7, 8):
            size = size[::-1]
        grey = _is_grey(image, background)
        animated = False
        with contextlib.suppress(Exception):  # a damaged second frame does not matter
            # The layers of a PSD are not frames: Pillow gives the merged image.
            animated = image.format != "PSD" and getattr(image, "is_animated", False)
        return Header(*size, grey, animated)


def _is_grey(image: Image.Image, background: Colour) -> bool:
    if image.mode in ("P", "PA"):
        if image.palette is None:
            return False
        palette = Image.new("P", (1, 1))
        palette.palette = image.palette.copy()
        colours = np.array(palette.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        grey = bool((colours == colours[:, :1]).all())
    else:
        grey = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    return grey and (len(set(background)) == 1 or not image.has_transparency_data)


@functools.cache
def _formats() -> tuple[str, ...]:
    # Pillow's own order depends on what it has opened before. Formats without a signature come
    # last. EPS is left out: it would be drawn by whichever Ghostscript a machine has.
    Image.init()
    others = sorted(
        Image.OPEN.keys() - {"JPEG", "PNG", "EPS"}, key=lambda name: (not Image.OPEN[name][1], name)
    )
    return ("JPEG", "PNG", *others)


def _file(encoded: bytes | str) -> IO[bytes]:
    if isinstance(encoded, bytes):
        if not encoded:
            raise UndecodableError("it is empty")
        return io.BytesIO(encoded)
    # Not to be blocked by a FIFO; regular files are read as ever.
    number = os.open(encoded, os.O_RDONLY | os.O_NONBLOCK)
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(number)
        if stat.S_ISDIR(status.st_mode):
            raise UndecodableError("it is a folder, not a file")
        regular = stat.S_ISREG(status.st_mode)
        raise UndecodableError("the file is empty" if regular else "it is not a regular file")
    return os.fdopen(number, "rb")


def _open(file: IO[bytes]) -> Image.Image:
    image = Image.open(file, formats=_formats())
    if "transparency" in image.info and image.format == "PNG":
        convert = _KEY_IN_8_BITS.get(str(image.tile[0][3]))
        if convert is not None:
            image.info["transparency"] = convert(image.info["transparency"])
    return image


def _from_pixels(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels)


def _upright(encoded: Encoded, background: Colour) -> Image.Image:
    """Return the whole image in mode L or RGB."""
    if isinstance(encoded, np.ndarray):
        return _in_8_bits(_from_pixels(encoded), background)
    with _file(encoded) as file:
        image = _open(file)
        image.load()
        orientation = _orientation(image)
        image = _in_8_bits(image, background)
    return image if orientation == 1 else image.transpose(_UPRIGHT[orientation])


def _orientation(image: Image.Image) -> int:
    # ImageOps.exif_transpose would also write the EXIF block anew, and fail where it is damaged.
    if _ORIENTED.isdisjoint(image.info) and not hasattr(image, "tag_v2"):
        return 1
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
        return int(orientation) if orientation in _UPRIGHT else 1
    except Exception:  # noqa: BLE001 -- a damaged EXIF block says nothing; the pixels are intact
        return 1


def _in_8_bits(image: Image.Image, background: Colour) -> Image.Image:
    if image.has_transparency_data:
        return _on_background(image, background)
    return _CONVERTERS.get(image.mode, _to_rgb)(image)


def _on_background(image: Image.Image, background: Colour) -> Image.Image:
    if image.mode.startswith("I"):
        opaque = np.asarray(image) != image.info["transparency"]
        image = _to_8_bits(image)
        image.putalpha(Image.fromarray(opaque.astype(np.uint8) * np.uint8(255)))
    elif image.mode == "La":
        image = image.convert("LA")
    image = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image, mask=image)
    return canvas


def _same(image: Image.Image) -> Image.Image:
    return image


def _to_grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Return samples of more than 8 bits scaled to 0 to 255, by the range of their type."""
    samples = np.asarray(image)
    tags = getattr(image, "tag_v2", {})  # of TIFF
    bits, signed = tags.get(258, (16,))[0], tags.get(339, (1,))[0] == 2
    top = 1 if image.mode == "F" else 2 ** (bits - signed) - 1
    if bits == 32 and samples.dtype == np.int32 and not signed:
        samples = samples.view(np.uint32)  # Pillow holds unsigned samples in signed ones
    low, high = samples.min(), samples.max()
    if image.mode == "F":
        levels = np.rint(samples * np.float32(255))
        low_level, high_level = levels.min(), levels.max()
        if not (low_level >= 0 and high_level <= 255):  # also if not a number
            raise UndecodableError(f"float pixels from {low:g} to {high:g}; expected 0 to 1")
    else:
        if low < 0 or high > top:
            raise UndecodableError(f"pixels from {low} to {high}; expected 0 to {top}")
        wide = samples.astype(np.uint32 if top <= 65535 else np.uint64)
        levels = (wide * 255 + top // 2) // top
    levels = levels.astype(np.uint8)
    return Image.fromarray(255 - levels if tags.get(262) == 0 else levels)


_CONVERTERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "L": _same,
    "RGB": _same,
    "1": _to_grey,
    "I": _to_8_bits,
    "I;16": _to_8_bits,
    "I;16B": _to_8_bits,
    "I;16L": _to_8_bits,
    "I;16N": _to_8_bits,
    "F": _to_8_bits,
}
"""From modes of opaque pixels; all others are converted to RGB."""

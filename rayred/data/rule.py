"""The one decoding rule of an image: encoded bytes, a file or pixels become a uint8 array.

An image gives the same pixels in memory and when streamed, from bytes and from a file: upright
(EXIF orientation), its first frame only, on a background where it is transparent, in 8 bits.

>>> import io
>>> file = io.BytesIO()
>>> Image.new("LA", (6, 4), (0, 0)).save(file, "PNG")  # transparent paper
>>> read_header(file.getvalue(), (255, 255, 255))
Header(width=6, height=4, grey=True, animated=False)
>>> Rule(channels=1, size=2).decode(file.getvalue()).tolist()
[[[255], [255]], [[255], [255]]]
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from rayred.data.modes import Colour, in_8_bits, is_grey
from rayred.data.opening import as_file, is_animated, open_image, turn, upright_size

Encoded = bytes | str | NDArray[np.uint8]
"""An encoded image, the path of an image file, or pixels, (H, W, C) with 1 to 4 channels."""
Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge, in pixels."""
T = TypeVar("T")

# Numbers of errors that are the image's: Pillow's own have none, and a damaged offset may point
# to where no file can reach. All others are the file system's.
_DAMAGE = (None, errno.EINVAL, errno.EOVERFLOW)


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
    """Return what an image is, without decoding its pixels (icons and some PNG files excepted).

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
    """crop: the central square is resized; letterbox: all of the image, between bars."""
    background: Colour = (255, 255, 255)
    """Colour behind transparent pixels and of the bars."""

    def decode(
        self, encoded: Encoded, box: Callable[[int, int], Box] | None = None
    ) -> NDArray[np.uint8]:
        """Return the pixels of an image, (H, W, C) uint8.

        Parameters
        ----------
        encoded
            The image. Pixels that need no change are returned as they are.
        box
            Function of width and height of the whole upright image, in pixels, that returns the
            box to cut out and resize to `size`, or to the image's own size without one; `None`
            for what `fit` says.

        Raises
        ------
        UndecodableError
            The image cannot be decoded.
        OSError
            The file system cannot give the file.
        """
        unchanged = self.size is None and box is None
        if unchanged and isinstance(encoded, np.ndarray) and encoded.shape[2:] == (self.channels,):
            return encoded
        image = _guarded(_whole, encoded, self.background)
        edges = box(*image.size) if box is not None else None
        try:
            return self._pixels(image, edges)
        except MemoryError as error:
            raise UndecodableError(_reason(error)) from error

    def _pixels(self, image: Image.Image, box: Box | None) -> NDArray[np.uint8]:
        if self.size is not None and box is None and self.fit == "letterbox":
            image = self._letterboxed(image, self.size)
        elif self.size is not None or box is not None:
            size = image.size if self.size is None else (self.size, self.size)
            box = box or self._central(*image.size)
            image = image.resize(size, Image.Resampling.BILINEAR, box=box)
        mode = "L" if self.channels == 1 else "RGB"
        if image.mode != mode:
            image = image.convert(mode)
        pixels = np.frombuffer(image.tobytes(), dtype=np.uint8)
        return pixels.reshape(image.height, image.width, self.channels)

    def _central(self, width: int, height: int) -> Box:
        margin = (1 - self.center_crop) / 2
        edge = min(width, height)
        left, upper = (width - edge) / 2 + margin * edge, (height - edge) / 2 + margin * edge
        return left, upper, left + self.center_crop * edge, upper + self.center_crop * edge

    def _letterboxed(self, image: Image.Image, side: int) -> Image.Image:
        longer = max(image.size)
        width = max(1, (image.width * side + longer // 2) // longer)
        height = max(1, (image.height * side + longer // 2) // longer)
        canvas = Image.new("RGB", (side, side), self.background)
        fitted = image.resize((width, height), Image.Resampling.BILINEAR)
        canvas.paste(fitted, ((side - width) // 2, (side - height) // 2))
        return canvas


def _guarded(function: Callable[[Encoded, Colour], T], encoded: Encoded, background: Colour) -> T:
    # Any exception at all: on damaged data Pillow's 40 plugins raise whatever their parsing
    # stumbles over (struct.error, KeyError, AttributeError, zlib.error, MemoryError and more).
    try:
        return function(encoded, background)
    except Exception as error:
        of_file_system = isinstance(error, OSError) and error.errno not in _DAMAGE
        if of_file_system or isinstance(error, UndecodableError):
            raise
        raise UndecodableError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its own message has an address in it
        return "it has no known image format, or its header is damaged"
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    text = " ".join(str(error).split())[:150]
    if text and isinstance(
        error, OSError | ValueError | SyntaxError | Image.DecompressionBombError
    ):
        return text
    return f"it is damaged ({type(error).__name__}{': ' if text else ''}{text})"


def _header(encoded: Encoded, background: Colour) -> Header:
    if isinstance(encoded, np.ndarray):
        height, width, channels = encoded.shape
        grey = channels == 1 or (channels == 2 and len(set(background)) == 1)
        return Header(width, height, grey, animated=False)
    with as_file(encoded) as file:
        image = open_image(file)
        width, height = upright_size(image, file)
        return Header(width, height, is_grey(image, background), is_animated(image))


def _whole(encoded: Encoded, background: Colour) -> Image.Image:
    """Return the whole upright image in mode L or RGB."""
    if isinstance(encoded, np.ndarray):
        pixels = encoded[:, :, 0] if encoded.shape[2:] == (1,) else encoded
        return in_8_bits(Image.fromarray(pixels), background)
    with as_file(encoded) as file:
        image = open_image(file)
        image.load()
        method = turn(image)
        whole = in_8_bits(image, background)
    return whole if method is None else whole.transpose(method)

"""Pixels of any mode of Pillow in 8 bits: grey or RGB, opaque on a background."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

BITS_PER_SAMPLE, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF


def is_grey(image: Image.Image, background: Colour) -> bool:
    """Return whether one channel holds all of an opened image, on a background."""
    if image.has_transparency_data and len(set(background)) > 1:
        return False
    if image.mode not in ("P", "PA"):
        return image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    if image.palette is None:
        return False
    one_pixel = Image.new("P", (1, 1))  # holds the palette without the pixels being decoded
    one_pixel.palette = image.palette.copy()
    one_pixel.palette.dirty = 1
    colours = np.array(one_pixel.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def in_8_bits(image: Image.Image, background: Colour) -> Image.Image:
    """Return a loaded image in mode L or RGB.

    Raises
    ------
    ValueError
        Samples lie outside the range of their type (float: 0 to 1).
    """
    if image.has_transparency_data:
        return _on_background(image, background)
    return _CONVERTERS.get(image.mode, _to_rgb)(image)


def _on_background(image: Image.Image, background: Colour) -> Image.Image:
    if image.mode.startswith("I"):
        opaque = np.asarray(image) != image.info["transparency"]
        image = _scaled(image)
        image.putalpha(Image.fromarray(opaque.astype(np.uint8) * np.uint8(255)))
    elif image.mode == "La":
        image = image.convert("LA")
    image = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(image, mask=image)
    return canvas


def _scaled(image: Image.Image) -> Image.Image:
    """Return samples of more than 8 bits scaled from the range of their type to 0 to 255."""
    samples = np.asarray(image)
    tags = getattr(image, "tag_v2", {})  # of TIFF; all other formats have 16 bits unsigned
    bits, signed = tags.get(BITS_PER_SAMPLE, (16,))[0], tags.get(SAMPLE_FORMAT, (1,))[0] == 2
    top = 2 ** (bits - signed) - 1
    if bits == 32 and not signed:
        samples = samples.view(np.uint32)  # Pillow holds them in signed integers
    low, high = samples.min(), samples.max()
    if low < 0 or high > top:
        raise ValueError(f"pixels from {low} to {high}; expected 0 to {top}")
    wide = samples.astype(np.uint32 if top < 2**16 else np.uint64)
    return _from_levels(((wide * 255 + top // 2) // top).astype(np.uint8), tags)


def _scaled_floats(image: Image.Image) -> Image.Image:
    samples = np.asarray(image)
    low, high = float(samples.min()), float(samples.max())
    if not (low * 255 > -0.5 and high * 255 < 255.5):  # true of what is not a number, too
        raise ValueError(f"float pixels from {low:g} to {high:g}; expected 0 to 1")
    levels = np.rint(samples * np.float32(255))
    return _from_levels(levels.astype(np.uint8), getattr(image, "tag_v2", {}))


def _from_levels(levels: NDArray[np.uint8], tags: Mapping[int, object]) -> Image.Image:
    # Of samples of more than 8 bits, Pillow does not see that 0 stands for white.
    return Image.fromarray(255 - levels if tags.get(PHOTOMETRIC) == 0 else levels)


def _same(image: Image.Image) -> Image.Image:
    return image


def _to_grey(image: Image.Image) -> Image.Image:
    return image.convert("L")


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


_CONVERTERS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "L": _same,
    "RGB": _same,
    "1": _to_grey,
    "I": _scaled,
    "I;16": _scaled,
    "I;16B": _scaled,
    "I;16L": _scaled,
    "I;16N": _scaled,
    "F": _scaled_floats,
}
"""By the mode of opaque images; all others are converted to RGB."""

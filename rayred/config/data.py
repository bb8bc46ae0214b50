"""Settings of the data set: where images are found and how they are decoded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rayred.config.base import IMAGES, RECORD, Fraction, Int, Settings


class Data(Settings):
    """How the images of `dataset` are found and read."""

    test: Annotated[str | None, IMAGES] = None
    """`parquet:GLOB` of the test split; for a `parquet:GLOB` data set only, which needs it."""
    root: Annotated[str, RECORD] = "~/.cache/rayred"
    """Folder of downloaded data sets (for `imagenet`: of the ILSVRC2012 archives)."""
    image_size: Annotated[Annotated[Int, Field(ge=1)] | None, IMAGES] = None
    """Side of the images after resizing, in pixels; null: unchanged, all must have one size."""
    center_crop: Annotated[Fraction, IMAGES] = 1.0
    """Side of the central crop, as a share of the shorter side; used with `image_size` only."""
    load: Annotated[Literal["auto", "memory", "stream"], IMAGES] = "auto"
    """memory: decode all images once; stream: decode while training. auto: stream if too large."""
    undecodable: Annotated[Literal["fail", "skip"], IMAGES] = "fail"
    """An image that cannot be decoded: fail ends the run, skip leaves it out and lists it."""

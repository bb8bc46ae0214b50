"""Settings of the images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rayred.config.base import IMAGES, RECORD, Fraction, Int, Settings


class Data(Settings):
    """How the images of `dataset` are found and read."""

    test: Annotated[str | None, IMAGES] = None
    """Test split where `dataset` names a training split only, as a `parquet:GLOB`."""
    root: Annotated[str, RECORD] = "~/.cache/rayred"
    """Folder where downloaded data sets lie (`imagenet`: where the ILSVRC2012 archives lie)."""
    image_size: Annotated[Annotated[Int, Field(ge=1)] | None, IMAGES] = None
    """Side to which images are resized and cropped, in pixels; none: as they are, all one size."""
    center_crop: Annotated[Fraction, IMAGES] = 1.0
    """Share of the shorter side that the central crop keeps when `image_size` resizes."""
    load: Annotated[Literal["auto", "memory", "stream"], IMAGES] = "auto"
    """Keep decoded images in memory, or decode them from files while training."""
    undecodable: Annotated[Literal["fail", "skip"], IMAGES] = "fail"
    """An image that cannot be decoded ends the run, or is skipped and listed."""

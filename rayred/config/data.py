"""Settings of the images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rayred.config.base import Fraction, Int, Settings


class Data(Settings):
    """How the images of `dataset` are found and read."""

    test: str | None = None
    """Test split where `dataset` names a training split only, as a `parquet:GLOB`."""
    root: str = "~/.cache/rayred"
    """Folder where downloaded data sets lie (`imagenet`: where the ILSVRC2012 archives lie)."""
    image_size: Annotated[Int, Field(ge=1)] | None = None
    """Side to which images are resized and cropped, in pixels; none: as they are, all one size."""
    center_crop: Fraction = 1.0
    """Share of the shorter side that the central crop keeps when `image_size` resizes."""
    load: Literal["auto", "memory", "stream"] = "auto"
    """Keep decoded images in memory, or decode them from files while training."""
    undecodable: Literal["fail", "skip"] = "fail"
    """An image that cannot be decoded ends the run, or is skipped and listed."""

"""Settings of the data set: where images are found and how they are decoded."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from rayred.config.base import IMAGES, RECORD, SPEED, AutoOrCount, AutoOrSize, Fraction, Settings


def _is_color(value: str) -> str:
    # Imported here: most uses of the settings need no Pillow.
    from PIL import ImageColor

    try:
        ImageColor.getrgb(value)
    except ValueError as error:
        raise PydanticCustomError(
            "color", "expected a colour such as white, black or '#ff8800'"
        ) from error
    return value


class Data(Settings):
    """How the images of `dataset` are found and read."""

    test: Annotated[str | None, IMAGES] = None
    """Test split, where it is elsewhere: another DATASET; of `hf:` also the name of a split."""
    layout: Annotated[Literal["auto", "splits", "classes"], IMAGES] = "auto"
    """Sub-folders of `folder:PATH`: splits (train, test), or classes. auto: what is clear."""
    image_column: Annotated[str, IMAGES] = "auto"
    """Column of the images, of `parquet:` and `hf:`. auto: by type and name."""
    label_column: Annotated[str, IMAGES] = "auto"
    """Column of the labels, of `parquet:` and `hf:`. auto: by type and name."""
    score_column: Annotated[str | None, RECORD] = None
    """Column of numbers, of `parquet:` and `hf:`, that `rayred prune` may keep images by."""
    unlabelled: Annotated[bool, IMAGES] = False
    """Whether all images are one class, and no labels are looked for; not for a study."""
    root: Annotated[str, RECORD] = "~/.cache/rayred"
    """Folder of downloads (`imagenet`: of the ILSVRC2012 archives) and of copies for streaming."""
    cache_gb: Annotated[AutoOrSize, RECORD] = "auto"
    """Most that copies of Parquet rows in `root` take up, in GB. auto: half of the free disk."""
    image_size: Annotated[AutoOrCount | None, IMAGES] = None
    """Side of the images in pixels; null: as they are, of one size; auto: by the sizes found."""
    fit: Annotated[Literal["crop", "letterbox"], IMAGES] = "crop"
    """With `image_size`: crop cuts out the central square; letterbox keeps all, on `background`."""
    center_crop: Annotated[Fraction, IMAGES] = 1.0
    """Side of the central crop, as a share of the shorter side; of fit crop with `image_size`."""
    background: Annotated[Annotated[str, AfterValidator(_is_color)], IMAGES] = "white"
    """Colour behind transparent and beside letterboxed images: a name or `#rrggbb`."""
    load: Annotated[Literal["auto", "memory", "stream"], SPEED] = "auto"
    """memory: decode all images once; stream: decode while training. auto: by `memory_gb`."""
    memory_gb: Annotated[AutoOrSize, SPEED] = "auto"
    """Most memory of decoded images on a node, in GB. auto: a quarter, or half of what is free."""
    undecodable: Annotated[Literal["fail", "skip"], IMAGES] = "fail"
    """Images that cannot be decoded, or have no label: fail ends the run, skip lists them."""

"""Small images and files of them, for the tests of data sets."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from rayred.config import Data
from rayred.data import Dataset, Split, load_dataset, load_train_split


def encoded(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A PNG image of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def structs(*values: int) -> list[dict[str, object]]:
    """Images as Hugging Face stores them."""
    return [{"bytes": encoded(value), "path": f"{value}.png"} for value in values]


def write_images(
    folder: Path, count: int, mode: str = "RGB", size: tuple[int, int] = (6, 4)
) -> None:
    """Write images of one grey level each, 0, 10, 20, ..."""
    folder.mkdir(parents=True)
    channels = () if mode == "L" else (3,)
    for number in range(count):
        pixels = np.full((size[1], size[0], *channels), 10 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def write_parquet(
    path: Path, images: Any, labels: Any, names: Sequence[str] | None = None, **columns: Any
) -> None:
    """Write a Parquet file; class names go where Hugging Face notes them."""
    table = pa.table({"image": images, "label": labels, **columns})
    if names is not None:
        label = {"names": list(names), "_type": "ClassLabel"}
        noted = {"info": {"features": {"label": label}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(noted)})
    pq.write_table(table, path)


class Loader:
    """Loads data sets with what is kept between runs in a folder of the test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def settings(self, **data: Any) -> Data:
        return Data(root=str(self.root), **data)

    def dataset(self, name: str, **data: Any) -> Dataset:
        return load_dataset(name, self.settings(**data))

    def train(self, name: str, **data: Any) -> Split:
        return load_train_split(name, self.settings(**data))


def pixels(split: Split) -> np.ndarray:
    """All images of a split, decoded."""
    return split.images[np.arange(len(split))]


def values(split: Split) -> list[int]:
    """The grey level of every image."""
    return pixels(split)[:, 0, 0, 0].tolist()

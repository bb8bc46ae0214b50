"""Planted leaks: test images that are altered copies of training images, and how many are found.

Of a data set's test images, a tenth is replaced by altered copies of training images, another
alteration for each. A detector is asked at several limits which test images leak: its recall is the
share of the planted ones that it finds. What it finds beside them is counted apart, since real data
sets leak too: look at the tables of ``rayred check`` for those.

Beside it: the seconds of the products of all pairs in float32, half of them, by torch alone, which
the search for near copies contains.

    .venv/bin/python -m benchmarks.leaks parquet:TRAIN_GLOB --test TEST_GLOB
"""

from __future__ import annotations

import argparse
import io
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from benchmarks.record import print_table, write_results
from rayred.checking.detectors import Limits, find
from rayred.checking.partners import Relation
from rayred.checking.pictures import Pictures
from rayred.config import Data
from rayred.data import Split, load_dataset
from rayred.linkage.rows import unit_rows

SHARE = 0.1
"""Share of the test images that is replaced."""
LIMITS = ((0.005, 0), (0.02, 4), (0.05, 6), (0.1, 8))
"""Distance and bits of each row of the table."""


def _encoded_again(quality: int) -> Callable[[Image.Image], Image.Image]:
    def encode(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return encode


def _cropped(pixels: int) -> Callable[[Image.Image], Image.Image]:
    def crop(image: Image.Image) -> Image.Image:
        width, height = image.size
        box = pixels, pixels, width - pixels, height - pixels
        return image.crop(box).resize((width, height), Image.Resampling.BILINEAR)

    return crop


ALTERATIONS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "the same pixels": lambda image: image,
    "JPEG, quality 90": _encoded_again(90),
    "JPEG, quality 50": _encoded_again(50),
    "half the size and back": lambda image: image.resize(
        (image.width // 2, image.height // 2), Image.Resampling.BILINEAR
    ).resize(image.size, Image.Resampling.BILINEAR),
    "brighter by 20 %": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "a pixel cut off on each side": _cropped(1),
    "two pixels cut off on each side": _cropped(2),
}


def plant(
    train: Split, test: Split, share: float = SHARE
) -> tuple[Split, NDArray[np.int64], NDArray[np.int64]]:
    """Return the test split with a share of its images replaced, and the number and source of each.

    Returns
    -------
    test, alteration, source
        The split; the number of the alteration of each replaced image; the training image.
    """
    rng = np.random.default_rng(0)
    n = int(share * len(test))
    source = rng.permutation(len(train))[:n]
    alteration = np.arange(n) % len(ALTERATIONS)
    alter, images = list(ALTERATIONS.values()), np.array(test.images[np.arange(len(test))])
    for place, row in enumerate(source):
        image = Image.fromarray(train.images[np.array([row])][0])
        images[place] = np.asarray(alter[alteration[place]](image))
    return replace(test, images=images, digests=None, digest=""), alteration, source


def recall_rows(
    found: Mapping[str, NDArray[np.bool_]], alteration: NDArray[np.int64]
) -> dict[str, Any]:
    """Return the share of each alteration that each way finds, and how many others it finds."""
    n = len(alteration)
    rows: dict[str, Any] = {
        name: {
            way: round(float(has[:n][alteration == number].mean()), 3) for way, has in found.items()
        }
        for number, name in enumerate(ALTERATIONS)
    }
    rows["others found"] = {way: int(has[n:].sum()) for way, has in found.items()}
    return rows


def ours(train: Split, test: Split, alteration: NDArray[np.int64]) -> dict[str, Any]:
    """Return recall at all limits, and the seconds of each part."""
    started = time.perf_counter()
    pictures = Pictures.of({"train": train, "test": test}, {})
    seconds = {"looking at all images": time.perf_counter() - started}
    tables = {}
    for distance, bits in LIMITS:
        started = time.perf_counter()
        found = find(pictures, Limits(distance, bits))
        seconds[f"finding, {distance} and {bits} bits"] = time.perf_counter() - started
        leaks = {
            way: one.partner[Relation.OTHER_SPLIT][len(train) :] >= 0
            for way, one in found.partners.items()
            if way in ("pixels", "hash", "near")
        }
        leaks["hash or near"] = leaks["hash"] | leaks["near"]
        leaks["hash and near"] = leaks["hash"] & leaks["near"]
        tables[f"distance {distance}, {bits} bits"] = recall_rows(leaks, alteration)
    seconds["half of the float32 products"] = _half_product(pictures.x)
    return {"tables": tables, "seconds": {name: round(one, 1) for name, one in seconds.items()}}


def _half_product(x: NDArray[Any]) -> float:
    """Return the seconds of the products of each pair of rows once, in blocks, nothing kept."""
    rows = unit_rows(x).float()
    started = time.perf_counter()
    block, buffer = 2048, torch.empty(2048, len(rows))
    for first in range(0, len(rows), block):
        left, right = rows[first : first + block], rows[first:]
        torch.mm(left, right.T, out=buffer[: len(left), : len(right)])
    return time.perf_counter() - started


def main() -> None:
    """Plant, find, print a table for each limit, and write ``docs/results/leaks.json``."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dataset", help="cifar10, or parquet:GLOB with --test")
    parser.add_argument("--test", help="data.test")
    given = parser.parse_args()
    dataset = load_dataset(given.dataset, Data(test=given.test, load="memory"))
    test, alteration, _ = plant(dataset.train, dataset.test)
    figures = {
        "images": {"train": len(dataset.train), "test": len(test), "planted": len(alteration)},
        "rayred": ours(dataset.train, test, alteration),
    }
    for title, table in figures["rayred"]["tables"].items():
        print(f"\n{title}")
        ways = list(next(iter(table.values())))
        rows = [[name, *(str(row[way]) for way in ways)] for name, row in table.items()]
        print_table(["alteration", *ways], rows)
    print(figures["rayred"]["seconds"])
    print(write_results("leaks", figures))


if __name__ == "__main__":
    main()

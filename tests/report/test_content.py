"""What is packed for the group browser, without a browser."""

from __future__ import annotations

import gzip
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rayred.data.dataset import Split
from rayred.report.browser import content as packing
from rayred.report.browser.content import Album, Content, Packed, Part, pack
from rayred.report.browser.sprites import make_sheets


def split_of(pixels: np.ndarray, labels: list[int], classes: tuple[str, ...] = ("a", "b")) -> Split:
    return Split(pixels, np.array(labels), [f"{n}.png" for n in range(len(pixels))], classes)


def array(packed: Packed, name: str) -> Any:
    kind, offset, length = packed.meta["arrays"][name]
    return np.frombuffer(gzip.decompress(packed.data), kind, length, offset)


def test_images_that_the_page_does_not_hold_are_counted():
    split = split_of(np.zeros((6, 4, 4, 1), np.uint8), [0, 0, 0, 1, 1, 1])
    kept = np.array([True, False, False, True, True, False])
    album = Album((Part("train", split, np.array([0, 1, 3])),))
    packed = pack(Content(album, kept=kept, group=np.array([4, 4, 5, 9, 9, 9])))
    assert array(packed, "kept").tolist() == [1, 0, 1]
    assert array(packed, "group").tolist() == [0, 0, 1]
    assert array(packed, "goneElsewhere").tolist() == [1, 1]
    assert packed.meta["classSizes"] == [3, 3]
    assert not packed.meta["complete"]
    assert not packed.meta["table"]


def test_parts_of_other_classes_and_channels_are_one_album():
    grey = split_of(np.full((2, 4, 4, 1), 9, np.uint8), [0, 1])
    colour = split_of(np.full((2, 4, 4, 3), 7, np.uint8), [0, 0], ("own",))
    album = Album((Part("new", grey, np.arange(2)), Part("old", colour, np.array([1]))))
    assert album.classes == ("a", "b", "own")
    assert album.labels.tolist() == [0, 1, 2]
    assert album.images(np.arange(3))[:, 0, 0].tolist() == [[9] * 3, [9] * 3, [7] * 3]
    packed = pack(Content(album, kept=np.array([True, False]), group=np.zeros(2, np.int64)))
    assert array(packed, "kept").tolist() == [1, 0, 0]
    assert packed.meta["classSizes"] == [1, 1, 0]


@pytest.mark.parametrize(
    ("height", "width", "channels"),
    [(1, 1, 1), (8, 8, 3), (32, 32, 3), (3000, 1, 1), (1, 3000, 3), (500, 70, 3), (25, 3, 1)],
)
def test_sheets_hold_every_image_in_its_cell(height, width, channels):
    shades = np.linspace(10, 245, 40).astype(np.uint8)
    images = np.broadcast_to(shades[:, None, None, None], (40, height, width, channels))
    sheets = make_sheets(images.__getitem__, 40, (height, width, channels), 10**6)
    a_sheet = sheets.columns * sheets.rows
    for number, shade in enumerate(shades):
        with Image.open(io.BytesIO(sheets.files[number // a_sheet])) as sheet:
            place = number % a_sheet
            x = place % sheets.columns * sheets.cell_width + sheets.width // 2
            y = place // sheets.columns * sheets.cell_height + sheets.height // 2
            found = sheet.convert("L").getpixel((x, y))
        assert abs(found - int(shade)) <= 12


def test_more_images_are_smaller_and_coarser_within_the_bytes():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, 100, 100, 3), np.uint8)
    sizes, sides = [], []
    for most in (10**7, 10**6, 2 * 10**5):
        sheets = make_sheets(images.__getitem__, 300, (100, 100, 3), most)
        sizes.append(sum(map(len, sheets.files)))
        sides.append(sheets.width)
        assert sizes[-1] <= 1.1 * most
    assert sides == sorted(sides, reverse=True)
    assert packing.MOST_BYTES * 4 / 3 < 15e6

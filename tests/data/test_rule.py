from __future__ import annotations

import errno
import io
import json
import os
import random
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rayred.data import rule as rule_module
from rayred.data.rule import Header, Rule, UndecodableError, read_header
from tests.data.odd_images import (
    ALPHA,
    CLEAR,
    COLOURS,
    GREY,
    GREYS,
    INDEX,
    ORIENTED,
    RGB,
    SMOOTH,
    OddImage,
    chunk,
    encode,
    exif,
    odd_images,
    on,
    png,
    tiff,
)

# As in a process that imports rayred; pytest sets filters of its own for each test.
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

WHITE, RED = (255, 255, 255), (255, 0, 0)
ODD = odd_images()
odd = pytest.mark.parametrize("image", ODD, ids=[image.name for image in ODD])


def in_colour(pixels):
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def resized(pixels, side, box):
    """Resize as torchvision does: Pillow's bilinear filter on the box."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image).reshape(side, side, pixels.shape[2])


def _open_files():
    return len(list(Path("/dev/fd").iterdir()))


def test_odd_images_are_many_and_have_names_of_their_own():
    assert len({image.name for image in ODD}) == len(ODD) >= 40


@odd
def test_right_pixels(image: OddImage):
    pixels = Rule(channels=3).decode(image.data)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.shape == (*image.expected.shape[:2], 3)
    difference = np.abs(pixels.astype(int) - image.expected)
    assert difference.max() <= image.tolerance


@odd
def test_header_is_true(image: OddImage):
    height, width = image.expected.shape[:2]
    assert read_header(image.data, WHITE) == Header(width, height, image.grey, image.animated)


@odd
def test_file_gives_what_bytes_give(image: OddImage, tmp_path: Path):
    path = tmp_path / "image"  # the extension says nothing
    path.write_bytes(image.data)
    assert read_header(str(path), WHITE) == read_header(image.data, WHITE)
    for decoding in (Rule(channels=3), Rule(channels=3, size=4, center_crop=0.8)):
        assert np.array_equal(decoding.decode(str(path)), decoding.decode(image.data))


@pytest.mark.parametrize("image", [i for i in ODD if i.grey], ids=lambda image: image.name)
def test_one_channel_holds_all_of_a_grey_image(image: OddImage):
    for one, three in ((Rule(1), Rule(3)), (Rule(1, size=3), Rule(3, size=3))):
        pixels = one.decode(image.data)
        assert pixels.shape[2] == 1
        assert np.array_equal(in_colour(pixels), three.decode(image.data))


def test_threads_give_the_same_pixels(tmp_path: Path):
    decoding = Rule(channels=3, size=5)
    alone = [decoding.decode(image.data) for image in ODD]
    for number, image in enumerate(ODD):
        (tmp_path / str(number)).write_bytes(image.data)
    encoded = [image.data for image in ODD] + [str(tmp_path / str(n)) for n in range(len(ODD))]
    open_files = _open_files()
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(decoding.decode, encoded))
    for a, b in zip(alone * 2, together, strict=True):
        assert np.array_equal(a, b)
    assert _open_files() == open_files


def test_large_file_gives_what_bytes_give(tmp_path: Path):
    pixels = np.random.default_rng(1).integers(0, 256, (200, 150, 3)).astype(np.uint8)
    for form in ("BMP", "PNG", "TIFF", "SGI"):
        path = tmp_path / form
        path.write_bytes(encode(pixels, form))
        assert path.stat().st_size > 80_000
        assert np.array_equal(Rule(3).decode(str(path)), pixels)
        assert read_header(str(path), WHITE) == Header(150, 200, False, False)


# ------------------------------------------------------------------------- what a picture shows


def test_black_ink_on_transparent_paper_is_no_black_square():
    rng = np.random.default_rng(0)
    seen = set()
    for kind in ("RGBA", "LA", "P"):
        for _ in range(4):
            ink = (rng.random((16, 16)) < 0.3).astype(np.uint8)
            if kind == "P":
                sheet = Image.fromarray(ink)
                sheet.putpalette([0, 0, 0, 0, 0, 0])
                data = encode(sheet, "PNG", transparency=0)
            else:
                bands = np.zeros((16, 16, len(kind)), np.uint8)
                bands[..., -1] = 255 * ink
                data = encode(bands, "PNG")
            pixels = Rule(channels=3).decode(data)
            assert np.array_equal(pixels, in_colour(255 * (1 - ink)[:, :, None]))
            seen.add(pixels.tobytes())
    assert len(seen) == 12


def test_red_green_and_blue_stay_apart():
    colours = [(200, 0, 0), (0, 102, 0), (0, 0, 255)]
    shown = [Rule(3, size=4).decode(encode(Image.new("RGB", (8, 8), c), "PNG")) for c in colours]
    assert [tuple(pixels[0, 0].tolist()) for pixels in shown] == colours


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_image_equals_the_upright_one_also_resized(orientation: int):
    wide = np.random.default_rng(2).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    block = chunk(b"eXIf", exif(orientation).tobytes()[6:])
    data = png(ORIENTED[orientation](wide), 8, 2, before=block)
    for decoding in (Rule(3), Rule(3, 8), Rule(3, 8, 0.7), Rule(3, 8, fit="letterbox")):
        assert np.array_equal(decoding.decode(data), decoding.decode(encode(wide, "PNG")))


def test_background_shows_through():
    seen = Rule(channels=3, background=RED).decode(png(np.dstack([RGB, ALPHA]), 8, 6))
    parts = [on(value, RGB[:, :, band], ALPHA) for band, value in enumerate(RED)]
    assert np.array_equal(seen, np.dstack(parts))


def test_grey_is_not_grey_on_a_coloured_background():
    la = png(np.dstack([GREY, ALPHA]), 8, 4)
    plte = chunk(b"PLTE", GREYS.tobytes())
    clear = png(INDEX, 8, 3, before=plte + chunk(b"tRNS", CLEAR.tobytes()))
    opaque = png(INDEX, 8, 3, before=plte)
    for data, grey in ((la, False), (clear, False), (opaque, True), (png(GREY, 8, 0), True)):
        assert read_header(data, RED).grey == grey
        assert read_header(data, (9, 9, 9)).grey


def test_coloured_palette_of_grey_pixels_counts_as_coloured():
    colours = np.concatenate([GREYS, COLOURS[1:2]])
    assert not read_header(png(INDEX, 8, 3, before=chunk(b"PLTE", colours.tobytes())), WHITE).grey


@pytest.mark.parametrize(
    "value", [0.0, 1.0, 1.0000001, -1e-7, np.nextafter(np.float32(255.5 / 255), np.float32(0))]
)
def test_floats_from_0_to_1(value: float):
    data = b"Pf\n1 1\n-1.0\n" + np.float32(value).tobytes()
    assert Rule(1).decode(data).ravel() == round(float(value) * 255)


@pytest.mark.parametrize("value", [-0.1, 1.1, 255.0, np.nan, np.inf])
def test_other_floats_are_refused(value: float):
    pixels = np.array([[0.5, value]], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UndecodableError) as caught:
            Rule(1).decode(encode(pixels, "TIFF"))
    assert str(caught.value).startswith("float pixels from ")
    assert str(caught.value).endswith("; expected 0 to 1")


def test_negative_integers_are_refused():
    for bits, kind, top in ((16, "<i2", 32767), (32, "<i4", 2147483647)):
        data = tiff(np.full((5, 7), -3, kind).tobytes(), (bits,), 1, sample_format=2)
        with pytest.raises(UndecodableError, match=f"^pixels from -3 to -3; expected 0 to {top}$"):
            Rule(1).decode(data)


# ------------------------------------------------------------------------------ crop and resize


def test_crop_and_resize_are_pillows_to_the_bit():
    rng = np.random.default_rng(3)
    for _ in range(60):
        height, width = rng.integers(1, 90, 2).tolist()
        channels = int(rng.choice([1, 3]))
        pixels = rng.integers(0, 256, (height, width, channels)).astype(np.uint8)
        side, share = int(rng.integers(1, 60)), float(rng.choice([1.0, 0.875, 0.3]))
        edge, margin = min(height, width), (1 - share) / 2
        left, upper = (width - edge) / 2 + margin * edge, (height - edge) / 2 + margin * edge
        expected = resized(pixels, side, (left, upper, left + share * edge, upper + share * edge))
        data = encode(pixels[:, :, 0] if channels == 1 else pixels, "PNG")
        decoding = Rule(channels, side, share)
        assert np.array_equal(decoding.decode(data), expected)
        assert np.array_equal(decoding.decode(pixels), expected)
        in_three = Rule(3, side, share).decode(data)
        assert np.array_equal(in_three, in_colour(expected))


def test_box_is_cut_from_the_whole_upright_image():
    data = encode(np.ascontiguousarray(ORIENTED[6](SMOOTH)), "PNG", exif=exif(6))
    asked = []

    def box(width, height):
        asked.append((width, height))
        return (1.5, 2, 40, 30.25)

    for fit in ("crop", "letterbox"):
        pixels = Rule(3, size=10, center_crop=0.5, fit=fit).decode(data, box)
        assert np.array_equal(pixels, resized(SMOOTH, 10, (1.5, 2, 40, 30.25)))
    assert asked == [(48, 32)] * 2


def test_faults_of_the_box_are_not_of_the_image():
    def box(*_):
        raise KeyError("my own")

    with pytest.raises(KeyError, match="my own"):
        Rule(3, size=4).decode(RGB, box)
    with pytest.raises(ValueError, match=r"(?i)box"):
        Rule(3, size=4).decode(RGB, lambda width, height: (0, 0, width + 1, height))


def test_a_box_has_the_size_of_the_image_where_the_rule_has_none():
    height, width, _ = RGB.shape
    cut = Rule(3).decode(RGB, lambda *_: (0, 0, width, height - 1))
    assert cut.shape == RGB.shape
    assert np.array_equal(Rule(3).decode(RGB, lambda *_: (0, 0, width, height)), RGB)


@pytest.mark.parametrize("turned", [False, True])
def test_letterbox_keeps_all_of_the_image_between_bars(turned: bool):
    pixels = np.full((10, 20, 3), 7, np.uint8)
    expected = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    expected[2:6] = 7
    if turned:
        pixels, expected = pixels.swapaxes(0, 1), expected.swapaxes(0, 1)
    decoding = Rule(3, size=8, fit="letterbox", background=RED)
    assert np.array_equal(decoding.decode(pixels), expected)


def test_letterbox_of_grey_has_grey_bars():
    decoding = Rule(1, size=6, fit="letterbox", background=(50, 50, 50))
    pixels = decoding.decode(np.full((3, 6, 1), 200, np.uint8))
    assert pixels[:, 0, 0].tolist() == [50, 200, 200, 200, 50, 50]


@pytest.mark.parametrize("shape", [(1, 500), (500, 1), (7, 5), (5, 5), (499, 500)])
def test_letterbox_of_any_shape(shape: tuple[int, int]):
    pixels = np.zeros((*shape, 3), np.uint8)
    shown = Rule(3, size=16, fit="letterbox").decode(pixels)
    height, width = (max(1, round(16 * edge / max(shape))) for edge in shape)
    assert (shown == 0).all(axis=2).sum() == height * width


def test_pixels_that_fit_are_returned_as_they_are():
    assert Rule(3).decode(RGB) is RGB
    grey = GREY[:, :, None]
    assert Rule(1).decode(grey) is grey
    assert np.array_equal(Rule(3).decode(grey), in_colour(grey))


def test_pixels_with_alpha_are_put_on_the_background():
    rgba, la = np.dstack([RGB, ALPHA]), np.dstack([GREY, ALPHA])
    assert np.array_equal(Rule(3).decode(rgba), on(255, RGB, ALPHA))
    assert np.array_equal(Rule(1).decode(la)[:, :, 0], on(255, GREY, ALPHA))


def test_header_of_pixels():
    assert read_header(RGB, WHITE) == Header(7, 5, False, False)
    assert read_header(GREY[:, :, None], RED) == Header(7, 5, True, False)
    assert read_header(np.dstack([GREY, ALPHA]), WHITE).grey
    assert not read_header(np.dstack([GREY, ALPHA]), RED).grey


# ------------------------------------------------------------------------ what is not decodable


def refused(encoded) -> str:
    reasons = []
    for read in (lambda: read_header(encoded, WHITE), lambda: Rule(3).decode(encoded)):
        with pytest.raises(UndecodableError) as caught:
            read()
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]
    return reasons[0]


def test_no_image_at_all(tmp_path: Path):
    nothing, folder, fifo = tmp_path / "0.png", tmp_path / "1.png", tmp_path / "2.png"
    nothing.touch()
    folder.mkdir()
    os.mkfifo(fifo)
    assert refused(str(nothing)) == "the file is empty"
    assert refused(b"") == "it is empty"
    assert refused(str(folder)) == "it is a folder, not a file"
    assert refused(str(fifo)) == "it is not a regular file"
    page = tmp_path / "3.jpg"
    page.write_text("<html>404</html>")
    for data in (str(page), bytes(5000), b"\xff" * 5000, encode(RGB, "EPS")):
        assert refused(data) == "it has no known image format, or its header is damaged"


def test_noise_is_no_image():
    rng = random.Random(0)
    for size in (1, 20, 200, 3000):
        for _ in range(50):
            refused(rng.randbytes(size))


def test_missing_file_is_an_error_of_the_file_system(tmp_path: Path):
    for read in (Rule(3).decode, lambda path: read_header(path, WHITE)):
        with pytest.raises(FileNotFoundError):
            read(str(tmp_path / "none.png"))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EINVAL, None])
def test_only_errors_of_the_file_system_may_be_retried(number, monkeypatch: pytest.MonkeyPatch):
    class Failing(io.BytesIO):
        def read(self, *_):
            raise OSError(number, "fault") if number else OSError("fault")

    monkeypatch.setattr(rule_module, "as_file", lambda _: Failing(encode(RGB, "PNG")))
    of_image = number in (errno.EINVAL, None)
    for read in (Rule(3).decode, lambda data: read_header(data, WHITE)):
        with pytest.raises(UndecodableError if of_image else OSError, match="fault"):
            read(b"any")


TRUNCATED = """png rgb, png rgb interlaced, jpeg rgb, jpeg progressive, gif, bmp 24, tiff rgb,
tiff tiff_lzw, webp lossless, ppm, jp2 rgb, avif, tga rgb, dds rgb, sgi rgb"""


@pytest.mark.parametrize("name", re.split(r",\s", TRUNCATED))
def test_truncated_images_are_refused(name: str):
    whole = [image.data for image in ODD if image.name == name]
    for data in whole:  # none, if this build of Pillow lacks the format
        for share in (0.3, 0.6):
            with pytest.raises(UndecodableError):
                Rule(3).decode(data[: int(share * len(data))])


def test_tiff_without_all_of_its_rows_is_refused():
    data = tiff(RGB.tobytes(), (8, 8, 8), 2, size=(7, 5))
    longer = data.replace(b"\x01\x01\x03\0\1\0\0\0\5", b"\x01\x01\x03\0\1\0\0\0\x09")
    assert refused(longer) == "it has 5 of its 9 rows of pixels"


def test_image_of_too_many_pixels_is_refused():
    data = encode(Image.new("1", (8, 8)), "PNG")
    huge = data.replace(data[8:33], chunk(b"IHDR", bytes([0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0])))
    assert "exceeds limit" in refused(huge)


def test_many_pixels_and_damaged_exif_cause_no_warning():
    script = """
import sys
from rayred.data.rule import read_header
from tests.data.odd_images import RGB, encode, tiff, png, chunk
import numpy as np, struct, zlib
data = png(RGB, 8, 2)
ihdr = chunk(b"IHDR", struct.pack(">IIBBBBB", 10000, 10000, 8, 2, 0, 0, 0))
header = read_header(data.replace(data[8:33], ihdr), (0, 0, 0))
assert (header.width, header.height) == (10000, 10000)
exif = b"Exif\\0\\0II*\\0\\x08\\0\\0\\0\\x02\\0\\x0f\\x01\\x02\\0\\xff\\0\\0\\0\\xff\\0\\0\\0"
read_header(encode(RGB, "JPEG", exif=exif), (0, 0, 0))
"""
    for option in ("always", "error"):
        done = subprocess.run(
            [sys.executable, "-W", option, "-c", script],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs the size of the process")
def test_damaged_images_are_undecodable_and_nothing_else():
    done = subprocess.run(
        [sys.executable, "-m", "tests.data.damaged_images", "500"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["escaped"] == []
    assert outcome["untrue"] == []
    assert outcome["sources"] >= 15
    assert min(outcome["decoded"], outcome["undecodable"]) >= 50

"""The one decoding rule: odd images of many formats, their headers, and damaged ones."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rayred.data.rule import Rule, UndecodableError, read_header
from tests.data.odd_images import OddImage, odd_images

WHITE = (255, 255, 255)
ODD = odd_images()
NAMED = pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)


def expected(odd: OddImage, channels: int) -> np.ndarray:
    return odd.expected.repeat(3, axis=2) if odd.expected.shape[2] < channels else odd.expected


def test_there_are_forty_formats_and_more():
    assert len({odd.name for odd in ODD}) == len(ODD) >= 40


@NAMED
def test_an_odd_image_has_the_pixels_that_one_sees(odd):
    for channels in (1, 3) if odd.grey else (3,):
        decoded = Rule(channels=channels).decode(odd.data).astype(int)
        wanted = expected(odd, channels)
        assert decoded.shape == wanted.shape
        assert abs(decoded - wanted).max() <= odd.tolerance


@NAMED
def test_its_header_says_what_is_decoded(odd):
    header = read_header(odd.data, WHITE)
    height, width, _ = odd.expected.shape
    assert (header.width, header.height) == (width, height)
    assert (header.grey, header.animated) == (odd.grey, odd.animated)


def test_bytes_files_and_threads_give_the_same_pixels(tmp_path):
    rule = Rule(channels=3, size=6)
    paths = []
    for number, odd in enumerate(ODD):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(odd.data)
    alone = [rule.decode(odd.data) for odd in ODD]
    with ThreadPoolExecutor(4) as threads:
        for encoded in ([str(path) for path in paths], [odd.data for odd in ODD]):
            for ours, theirs in zip(threads.map(rule.decode, encoded), alone, strict=True):
                np.testing.assert_array_equal(ours, theirs)


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_ink_on_transparent_paper_is_no_black_square():
    rng = np.random.default_rng(0)
    drawings = []
    for _ in range(4):
        ink = np.zeros((16, 16, 4), np.uint8)
        ink[..., 3] = 255 * (rng.random((16, 16)) < 0.3)
        drawings.append(png(Image.fromarray(ink)))
    on_white = [Rule(channels=3).decode(drawing) for drawing in drawings]
    assert len({pixels.tobytes() for pixels in on_white}) == 4
    assert all(pixels.max() == 255 for pixels in on_white)
    on_blue = Rule(channels=3, background=(0, 0, 255)).decode(drawings[0])
    assert set(map(tuple, on_blue.reshape(-1, 3).tolist())) == {(0, 0, 0), (0, 0, 255)}


def test_a_coloured_background_makes_transparent_grey_coloured():
    clear = png(Image.new("LA", (4, 4), (0, 0)))
    assert read_header(clear, WHITE).grey
    assert not read_header(clear, (0, 0, 255)).grey


@pytest.mark.parametrize("share", [1.0, 0.6])
@pytest.mark.parametrize("shape", [(40, 25), (25, 40), (33, 33), (1, 9), (300, 7)])
def test_the_central_square_is_resized_by_pillow(shape, share):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    edge, margin = min(image.size), (1 - share) / 2
    left, upper = (
        (image.width - edge) / 2 + margin * edge,
        (image.height - edge) / 2 + margin * edge,
    )
    box = (left, upper, left + share * edge, upper + share * edge)
    wanted = np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR, box=box))
    rule = Rule(channels=3, size=8, center_crop=share)
    np.testing.assert_array_equal(rule.decode(png(image)), wanted)
    np.testing.assert_array_equal(rule.decode(pixels), wanted)


def test_letterbox_keeps_all_of_the_image_on_the_background():
    wide = np.full((4, 8, 3), 50, np.uint8)
    decoded = Rule(channels=3, size=8, fit="letterbox", background=(9, 8, 7)).decode(wide)
    assert (decoded[2:6] == 50).all()
    assert (decoded[[0, 1, 6, 7]] == (9, 8, 7)).all()


def test_a_box_is_cut_out_of_the_whole_image():
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8, 1)
    seen = []

    def box(width: int, height: int) -> tuple[float, float, float, float]:
        seen.append((width, height))
        return 2, 1, 6, 5

    assert Rule(channels=1, size=4).decode(pixels, box).tolist() == pixels[1:5, 2:6].tolist()
    assert Rule(channels=1).decode(pixels, box).shape == (6, 8, 1)
    assert seen == [(8, 6)] * 2


def test_pixels_that_need_no_change_are_not_copied():
    pixels = np.zeros((4, 4, 3), np.uint8)
    assert Rule(channels=3).decode(pixels) is pixels


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.fromarray(np.array([[0.0, 300.0]], np.float32)), "expected"),
        (Image.fromarray(np.array([[0.0, np.nan]], np.float32)), "expected"),
        (Image.fromarray(np.array([[-1, 5]], np.int32)), "expected"),
    ],
)
def test_samples_out_of_their_range_are_refused(image, reason):
    file = io.BytesIO()
    image.save(file, "TIFF")
    with pytest.raises(UndecodableError, match=reason):
        Rule(channels=1).decode(file.getvalue())


def test_what_is_no_image_is_refused_with_its_reason(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("<html>404</html>")
    os.mkfifo(tmp_path / "fifo")
    for name, reason in (
        ("empty", "the file is empty"),
        ("text", "no known image format"),
        ("fifo", "not a regular file"),
        (".", "it is a folder"),
    ):
        for read in (Rule(channels=3).decode, lambda path: read_header(path, WHITE)):
            with pytest.raises(UndecodableError, match=reason):
                read(str(tmp_path / name))
    with pytest.raises(FileNotFoundError):
        Rule(channels=3).decode(str(tmp_path / "nowhere"))


FUZZ = """
import resource, sys
from pathlib import Path
from rayred.data.rule import Rule, UndecodableError, read_header
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**31,) * 2)
damaged = refused = 0
for path in sorted(Path(sys.argv[1]).iterdir()):
    for read in (lambda data: read_header(data, (255,) * 3), Rule(channels=3, size=8).decode):
        damaged += 1
        try:
            read(path.read_bytes())
        except UndecodableError as error:
            assert str(error) and "\\n" not in str(error), error
            refused += 1
assert refused < damaged
print("all decoded or refused")
"""


def test_damaged_images_are_decoded_or_refused_within_bounds(tmp_path):
    """500 of them, of all formats, in a process whose memory is bounded."""
    rng = np.random.default_rng(0)
    for number in range(500):
        damaged = bytearray(ODD[number % len(ODD)].data)
        for _ in range(int(rng.integers(1, 6))):
            within = min(200, len(damaged)) if rng.random() < 0.6 else len(damaged)
            damaged[int(rng.integers(0, within))] = int(rng.integers(0, 256))
        end = int(rng.integers(1, len(damaged))) if rng.random() < 0.2 else len(damaged)
        (tmp_path / f"{number:03}").write_bytes(damaged[:end])
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.stdout == "all decoded or refused\n", done.stderr[-2000:]

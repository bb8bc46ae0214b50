"""Near hashes, against the bits of all pairs in all orientations."""

import numpy as np
import pytest
from PIL import Image

from rayred.checking import hashes as module
from rayred.checking.hashes import closest_orientation, near_hashes
from rayred.data.appearance import INVERSE, ORIENTATIONS, perceptual_hashes


@pytest.mark.parametrize("most", [0, 1, 4, 9, 32])
@pytest.mark.parametrize("at_a_time", [1, 50, 2**21])
def test_all_close_hashes_are_found(most, at_a_time, monkeypatch):
    monkeypatch.setattr(module, "AT_A_TIME", at_a_time)
    rng = np.random.default_rng(0)
    hashes = rng.integers(2**64, size=(40, 8), dtype=np.uint64)
    for one in range(1, 40):  # some are an earlier one, in another orientation, of which bits flip
        bits = rng.permutation(64)[: rng.integers(8)].astype(np.uint64)
        flipped = np.bitwise_xor.reduce(np.uint64(1) << bits, initial=np.uint64(0))
        hashes[one, rng.integers(8)] = hashes[rng.integers(one), 0] ^ flipped
    wanted = {}
    for i in range(40):
        for j in range(40):
            for turned in range(8):
                bits = int(hashes[i, 0] ^ hashes[j, turned]).bit_count()
                if i != j and bits <= most:
                    wanted[i, j] = min(bits, wanted.get((i, j), 64))
    found = {}
    for i, j, bits in near_hashes(hashes, most):
        for one, other, count in zip(i.tolist(), j.tolist(), bits.tolist(), strict=True):
            found[one, other] = min(count, found.get((one, other), 64))
    assert found == wanted


def test_an_image_is_known_in_every_orientation():
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(256, size=(8, 8, 3), dtype=np.uint8))
    image = np.asarray(small.resize((40, 40), Image.Resampling.BICUBIC))
    for number, name in enumerate(ORIENTATIONS):
        other = np.rot90(image, number // 2)
        other = other[:, ::-1] if number % 2 else other
        pair = np.stack([perceptual_hashes(other), perceptual_hashes(image)])
        bits, orientation = closest_orientation(pair, np.array([0]), np.array([1]))
        assert bits[0] <= 2
        assert ORIENTATIONS[orientation[0]] == name


@pytest.mark.parametrize("number", range(8))
def test_every_orientation_has_its_inverse(number):
    image = np.arange(12).reshape(3, 4)

    def view(pixels: np.ndarray, k: int) -> np.ndarray:
        turned = np.rot90(pixels, k // 2)
        return turned[:, ::-1] if k % 2 else turned

    assert np.array_equal(view(view(image, number), INVERSE[number]), image)


def test_what_is_measured_of_a_pair_is_what_it_was_found_by():
    """Whichever of the two comes first: hashes of turned images are not turned hashes."""
    rng = np.random.default_rng(0)
    smooth = [rng.integers(256, size=(3, 3, 3), dtype=np.uint8) for _ in range(60)]
    images = [np.asarray(Image.fromarray(one).resize((24, 24))) for one in smooth]
    hashes = np.stack([perceptual_hashes(one) for one in images])
    most, lowest = 16, {}
    for i, j, bits in near_hashes(hashes, most):
        for one, other, count in zip(i.tolist(), j.tolist(), bits.tolist(), strict=True):
            pair = min(one, other), max(one, other)
            lowest[pair] = min(count, lowest.get(pair, 64))
    assert len(lowest) > 20
    i, j = np.array(list(lowest)).T
    for pair in ((i, j), (j, i)):
        assert closest_orientation(hashes, *pair)[0].tolist() == list(lowest.values())


def test_a_grey_and_a_coloured_copy_have_one_hash():
    rng = np.random.default_rng(0)
    grey = rng.integers(256, size=(12, 12, 1), dtype=np.uint8)
    assert np.array_equal(perceptual_hashes(grey), perceptual_hashes(np.repeat(grey, 3, axis=2)))

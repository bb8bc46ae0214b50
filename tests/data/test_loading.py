"""From rows to splits: all problems at once, one digest, the user's rows, memory or stream."""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rayred.data import EncodedImages
from rayred.data import loading as loading_of_splits
from rayred.data import scan as scans
from rayred.data.dataset import write_left_out
from rayred.errors import DataError
from tests.data.examples import encoded, pixels, structs, values, write_images, write_parquet

LOADS = pytest.mark.parametrize("how", ["memory", "stream"])


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write_images(tmp_path / "pets" / split / name, 3)
    return tmp_path / "pets"


def test_streamed_images_are_those_in_memory(pets, load):
    for settings in ({}, {"image_size": 3}, {"image_size": 5, "center_crop": 0.5}):
        memory = load.dataset(f"folder:{pets}", load="memory", **settings)
        stream = load.dataset(f"folder:{pets}", load="stream", **settings)
        assert isinstance(memory.train.images, np.ndarray)
        assert isinstance(stream.train.images, EncodedImages)
        assert stream.train.images.shape == memory.train.images.shape
        np.testing.assert_array_equal(pixels(stream.train), memory.train.images)
        assert stream.digest == memory.digest


@LOADS
def test_all_that_is_wrong_is_said_at_once_with_how_to_go_on(pets, load, how):
    (pets / "train" / "dog" / "1.png").write_bytes(b"no image")
    (pets / "train" / "dog" / "2.png").write_bytes(encoded(5, (6, 4))[:-30])
    (pets / "test" / "cat" / "2.png").write_bytes(encoded(5, (6, 4))[:-30])
    Image.new("RGB", (9, 9)).save(pets / "train" / "dog" / "big.png")
    with pytest.raises(DataError) as raised:
        load.dataset(f"folder:{pets}", load=how)
    said = str(raised.value)
    assert "2 of 7 train images cannot be decoded (first: dog/1.png, row 4: " in said
    assert "1 of 6 test images cannot be decoded (first: cat/2.png, row 2: " in said
    assert "images differ in size: 6 × 4 pixels (11 images), 9 × 9 pixels (1 images)" in said
    assert said.endswith("--set data.undecodable=skip --set data.image_size=4")
    resized = load.dataset(f"folder:{pets}", load=how, undecodable="skip", image_size=4)
    assert resized.train.image_shape == (4, 4, 3)
    assert (len(resized.train), len(resized.test)) == (5, 5)


@LOADS
def test_rows_are_those_of_the_users_data_where_images_are_left_out(tmp_path, load, how):
    broken = {"bytes": b"broken", "path": "img.png"}
    write_parquet(tmp_path / "a.parquet", [broken, *structs(10, 20), broken, *structs(30)], [0] * 5)
    train = load.train(f"parquet:{tmp_path}/a.parquet", load=how, undecodable="skip")
    assert values(train) == [10, 20, 30]
    assert train.rows.tolist() == [1, 2, 4]
    assert train.n_rows() == 5
    assert train.take(np.array([0, 2])).rows.tolist() == [1, 4]
    assert train.part(1, 3).rows.tolist() == [2, 4]
    assert train.places(np.array([2, 4])).tolist() == [1, 2]
    with pytest.raises(DataError, match="rows of images that the data set does not have"):
        train.places(np.array([0]))


def test_what_is_left_out_is_counted_and_listed(pets, tmp_path, load):
    (pets / "train" / "cat" / "0.png").write_bytes(b"no image")
    (pets / "train" / "cat" / ".hidden.png").write_bytes(b"")
    dataset = load.dataset(f"folder:{pets}", undecodable="skip")
    assert dataset.notices() == [
        "left out of the train split: hidden file or folder (1), image that cannot be decoded (1)"
    ]
    write_left_out(tmp_path / "left-out.csv", dataset.splits())
    with (tmp_path / "left-out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["split"], row["row"], row["name"]) for row in rows] == [
        ("train", "", "cat/.hidden.png"),
        ("train", "0", "cat/0.png"),
    ]
    assert rows[1]["reason"].startswith("image that cannot be decoded: ")


@LOADS
def test_grey_images_among_coloured_ones_have_three_channels(tmp_path, load, how):
    write_images(tmp_path / "pets" / "cat", 1, "L", size=(8, 8))
    for number, color in enumerate(("red", "green", "blue"), 1):
        Image.new("RGB", (8, 8), color).save(tmp_path / "pets" / "cat" / f"{number}.png")
    train = load.train(f"folder:{tmp_path}/pets", load=how)
    assert pixels(train)[:, 0, 0].tolist() == [[0, 0, 0], [255, 0, 0], [0, 128, 0], [0, 0, 255]]


@LOADS
def test_grey_training_images_are_decoded_as_the_coloured_test_images(tmp_path, load, how):
    write_images(tmp_path / "pets" / "train" / "cat", 1, "L")
    write_images(tmp_path / "pets" / "test" / "cat", 1)
    dataset = load.dataset(f"folder:{tmp_path}/pets", load=how)
    assert dataset.train.image_shape == dataset.test.image_shape == (4, 6, 3)


@LOADS
def test_the_digest_is_that_of_the_content(pets, tmp_path, load, how):
    digest = load.dataset(f"folder:{pets}", load=how).digest
    for path in pets.rglob("*.png"):
        os.utime(path, (1, 1))
    assert load.dataset(f"folder:{pets}", load=how).digest == digest
    shutil.copytree(pets, tmp_path / "copy")
    assert load.dataset(f"folder:{tmp_path}/copy", load=how).digest == digest
    pets.rename(tmp_path / "moved")
    assert load.dataset(f"folder:{tmp_path}/moved", load=how).digest == digest
    assert load.dataset(f"folder:{tmp_path}/moved", load=how, image_size=4).digest != digest


@LOADS
def test_images_replaced_by_others_of_the_same_size_have_another_digest(tmp_path, load, how):
    def write(level: int) -> None:
        folder = tmp_path / "pets" / "cat"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (level, 0, 0)).save(folder / "0.bmp")

    write(1)
    before = load.train(f"folder:{tmp_path}/pets", load=how)
    write(2)
    after = load.train(f"folder:{tmp_path}/pets", load=how)
    assert after.digest != before.digest
    assert pixels(after)[0, 0, 0, 0] == 2


def test_labels_and_class_names_are_in_the_digest(tmp_path, load):
    digests = set()
    for labels in (["a", "b"], ["b", "a"], ["a", "c"], ["a", "a"]):
        write_parquet(tmp_path / "a.parquet", structs(1, 2), labels)
        digests.add(load.train(f"parquet:{tmp_path}/a.parquet").digest)
    assert len(digests) == 4


def test_files_that_are_known_are_not_read_again(pets, load, monkeypatch):
    first = load.dataset(f"folder:{pets}", load="stream")

    def read_again(*_):
        raise AssertionError("an image is read again")

    monkeypatch.setattr(scans, "read_header", read_again)
    assert load.dataset(f"folder:{pets}", load="stream").digest == first.digest
    (pets / "train" / "cat" / "0.png").write_bytes(encoded(1, (6, 4)))
    with pytest.raises(AssertionError, match="read again"):
        load.dataset(f"folder:{pets}", load="stream")


def test_nothing_is_kept_where_nothing_can_be(pets, load):
    load.root.write_text("a file where the folder would be")
    assert len(load.dataset(f"folder:{pets}").train) == 6


def test_no_home_folder_is_needed(pets, monkeypatch):
    from rayred.data import load_dataset

    def expanduser(_):
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "expanduser", expanduser)
    assert len(load_dataset(f"folder:{pets}").train) == 6
    with pytest.raises(DataError, match="there is no home folder"):
        load_dataset("cifar10")


@pytest.mark.parametrize(("gigabytes", "in_memory"), [(2.0e-6, True), (0.5e-6, False)])
def test_decoded_bytes_decide_what_is_kept_in_memory(pets, load, gigabytes, in_memory):
    """12 images of 6 × 4 × 3 bytes: 864 bytes."""
    train = load.dataset(f"folder:{pets}", memory_gb=gigabytes).train
    assert isinstance(train.images, np.ndarray) == in_memory


def test_images_of_several_sizes_are_not_decoded_to_learn_so(tmp_path, load, monkeypatch):
    folder = tmp_path / "pets" / "cat"
    folder.mkdir(parents=True)
    for number, side in enumerate((3000, 4000)):
        Image.new("L", (side, side)).save(folder / f"{number}.png")
    monkeypatch.setattr(loading_of_splits, "decode_all", None)  # would raise when called
    monkeypatch.setattr(loading_of_splits, "PIXELS_LOOKED_AT", 10**7)
    with pytest.raises(DataError, match=r"images differ in size.*data\.image_size=224"):
        load.train(f"folder:{tmp_path}/pets")


def test_whole_images_are_kept_for_boxes_to_be_cut_out(pets, load):
    from rayred.data import load_dataset

    settings = load.settings(image_size=3, load="memory")
    whole = load_dataset(f"folder:{pets}", settings, whole=True)
    assert isinstance(whole.train.images, EncodedImages)
    assert whole.digest == load_dataset(f"folder:{pets}", settings).digest
    sizes: list[tuple[int, int]] = []

    def box(_: int, width: int, height: int) -> tuple[float, float, float, float]:
        sizes.append((width, height))
        return 0, 0, width, height

    assert whole.train.images.crop(np.array([0, 4]), box).shape == (2, 3, 3, 3)
    assert sizes == [(6, 4), (6, 4)]


def test_bundled_data_sets_can_be_resized_and_streamed(load):
    digits = load.dataset("digits")
    streamed = load.dataset("digits", load="stream")
    np.testing.assert_array_equal(pixels(streamed.test), digits.test.images)
    assert streamed.digest == digits.digest
    assert load.dataset("digits", image_size=5).train.image_shape == (5, 5, 1)


def test_an_unknown_data_set_names_what_is_known(load):
    with pytest.raises(DataError, match=r"digitz: unknown data set; expected digits, cifar10"):
        load.dataset("digitz")


@LOADS
@pytest.mark.parametrize("fit", ["crop", "letterbox"])
def test_images_of_several_sizes_are_brought_to_a_size_that_is_said(pets, load, how, fit):
    for number in range(3):
        Image.new("RGB", (30, 11 + number)).save(pets / "train" / "dog" / f"big-{number}.png")
    one = load.dataset(f"folder:{pets}", load=how, image_size="auto", fit=fit)
    assert one.train.image_shape == (4, 4, 3)  # the median of their shorter sides
    [notice] = [text for text in one.notices() if "differ in size" in text]
    assert notice.startswith("images differ in size: 6 × 4 pixels (12 images), 30 × 11 pixels (1 i")
    assert notice.endswith("is brought to 4 × 4 (data.image_size, data.fit)")
    assert one.digest == load.dataset(f"folder:{pets}", load=how, image_size=4, fit=fit).digest


@LOADS
def test_images_of_one_size_stay_as_they_are(pets, load, how):
    one = load.dataset(f"folder:{pets}", load=how, image_size="auto")
    assert one.train.image_shape == (4, 6, 3)
    assert one.digest == load.dataset(f"folder:{pets}", load=how).digest
    assert not [text for text in one.notices() if "size" in text]

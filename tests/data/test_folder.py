from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rayred.config import Data
from rayred.data import ImageFiles, load_dataset, load_train_split
from rayred.errors import DataError


def write_images(folder: Path, count: int, mode: str = "RGB", size: tuple[int, int] = (6, 4)):
    folder.mkdir(parents=True)
    channels = () if mode == "L" else (3,)
    for number in range(count):
        pixels = np.full((size[1], size[0], *channels), 10 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for split, count in (("train", 3), ("test", 2)):
        for name in ("cat", "dog"):
            write_images(tmp_path / split / name, count)
    return tmp_path


def test_classes_are_the_sub_folders_in_order(pets):
    dataset = load_dataset(f"folder:{pets}")
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.images.shape == (6, 4, 6, 3)
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.train.names[4] == "dog/1.png"
    assert dataset.train.images[4].max() == 10


def test_grey_images_have_one_channel(tmp_path):
    write_images(tmp_path / "a", 2, "L")
    write_images(tmp_path / "b", 2, "L")
    assert load_train_split(f"folder:{tmp_path}").image_shape == (4, 6, 1)


def test_a_folder_for_pruning_needs_no_splits(tmp_path):
    write_images(tmp_path / "a", 2)
    assert len(load_train_split(f"folder:{tmp_path}")) == 2


def test_same_images_have_the_same_digest_wherever_they_lie(pets, tmp_path):
    first = load_dataset(f"folder:{pets}")
    (tmp_path / "elsewhere").mkdir()
    for split in ("train", "test"):
        (pets / split).rename(tmp_path / "elsewhere" / split)
    assert load_dataset(f"folder:{tmp_path / 'elsewhere'}").digest == first.digest


def test_images_of_two_sizes_name_the_remedy(pets):
    Image.new("RGB", (9, 9)).save(pets / "train" / "dog" / "big.png")
    with pytest.raises(DataError, match=r"data\.image_size"):
        load_dataset(f"folder:{pets}")
    resized = load_dataset(f"folder:{pets}", Data(image_size=8))
    assert resized.train.image_shape == (8, 8, 3)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        load_dataset(f"folder:{tmp_path / 'nowhere'}")


def test_empty_class_is_named(pets):
    (pets / "train" / "eel").mkdir()
    with pytest.raises(DataError, match="class 'eel' has no images"):
        load_dataset(f"folder:{pets}")


def test_classes_that_differ_are_named(pets):
    (pets / "test" / "dog").rename(pets / "test" / "wolf")
    with pytest.raises(DataError, match="only in training: 'dog'; only in test: 'wolf'"):
        load_dataset(f"folder:{pets}")


@pytest.mark.parametrize("load", ["memory", "stream"])
def test_undecodable_image_is_skipped_and_listed(pets, load):
    (pets / "train" / "dog" / "1.png").write_bytes(b"no image")
    settings = Data(undecodable="skip", image_size=4, load=load)
    dataset = load_dataset(f"folder:{pets}", settings)
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert len(dataset.train.skipped) == 1
    assert "dog/1.png" in dataset.train.skipped[0]


def test_undecodable_image_is_named(pets):
    (pets / "train" / "dog" / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"dog/1\.png.*undecodable: skip"):
        load_dataset(f"folder:{pets}")


def test_streamed_files_decode_to_the_same_pixels(pets):
    resident = load_dataset(f"folder:{pets}", Data(image_size=4, load="memory")).train
    streamed = load_dataset(f"folder:{pets}", Data(image_size=4, load="stream")).train
    assert isinstance(streamed.images, ImageFiles)
    everything = np.arange(len(streamed))
    np.testing.assert_array_equal(streamed.images[everything], resident.images)


def test_streaming_needs_a_size(pets):
    with pytest.raises(DataError, match=r"data\.image_size"):
        load_dataset(f"folder:{pets}", Data(load="stream"))

"""Data sets of Hugging Face `datasets`: saved folders, Arrow files, folders that it can load."""

import datasets
import numpy as np
import pytest
from PIL import Image

from rayred.errors import DataError
from tests.data.examples import values

NAMES = ("cat", "dog")
LOADS = pytest.mark.parametrize("how", ["memory", "stream"])


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def rows_of(levels: list[int], labels: list[int], names=NAMES, column="img") -> datasets.Dataset:
    images = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in levels]
    features = {column: datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    return datasets.Dataset.from_dict(
        {column: images, "label": labels}, features=datasets.Features(features)
    )


TRAIN = rows_of([1, 2, 3, 4], [0, 1, 0, 1])
TEST = rows_of([8, 9], [0, 1], ("dog", "cat"))


@LOADS
def test_a_saved_data_set(tmp_path, load, how):
    datasets.DatasetDict({"train": TRAIN, "test": TEST}).save_to_disk(tmp_path / "saved")
    dataset = load.dataset(f"hf:{tmp_path}/saved", load=how)
    assert dataset.classes == NAMES
    assert values(dataset.train) == [1, 2, 3, 4]
    assert values(dataset.test) == [8, 9]
    assert dataset.test.labels.tolist() == [1, 0]


@LOADS
def test_chosen_rows_are_the_rows_of_the_saved_data_set(tmp_path, load, how):
    TRAIN.select([3, 1, 0]).save_to_disk(tmp_path / "some")
    train = load.train(f"hf:{tmp_path}/some", load=how)
    assert values(train) == [4, 2, 1]
    assert train.labels.tolist() == [1, 1, 0]
    assert train.rows.tolist() == [0, 1, 2]


def test_other_images_in_the_same_place_are_seen(tmp_path, load):
    digests = set()
    for level in (1, 2):
        rows_of([level], [0]).save_to_disk(tmp_path / "saved")
        train = load.train(f"hf:{tmp_path}/saved", load="stream")
        assert values(train) == [level]
        digests.add(train.digest)
    assert len(digests) == 2


def test_a_test_split_without_labels_is_passed_over_and_said(tmp_path, load):
    hidden = rows_of([5, 6], [-1, -1])
    splits = {"train": TRAIN, "test": hidden, "validation": TEST}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    dataset = load.dataset(f"hf:{tmp_path}/saved")
    assert values(dataset.test) == [8, 9]
    assert dataset.notices() == ["the test split is 'validation'"]
    with pytest.raises(DataError, match="2 test images have no label"):
        load.dataset(f"hf:{tmp_path}/saved", test="test")


def test_the_test_split_is_named_or_another_data_set(tmp_path, load):
    TRAIN.save_to_disk(tmp_path / "one")
    TEST.save_to_disk(tmp_path / "two")
    with pytest.raises(DataError, match=r"has no test split; it has train \(data\.test\)"):
        load.dataset(f"hf:{tmp_path}/one")
    assert values(load.dataset(f"hf:{tmp_path}/one", test=f"hf:{tmp_path}/two").test) == [8, 9]
    datasets.DatasetDict({"train": TRAIN, "other": TEST}).save_to_disk(tmp_path / "three")
    assert values(load.dataset(f"hf:{tmp_path}/three", test="other").test) == [8, 9]


@LOADS
def test_a_folder_of_parquet_files_whose_class_names_differ_in_order(tmp_path, load, how):
    (tmp_path / "data").mkdir()
    TRAIN.to_parquet(tmp_path / "data" / "train-0.parquet")
    rows_of([7, 6], [0, 1], ("dog", "cat")).to_parquet(tmp_path / "data" / "train-1.parquet")
    TEST.to_parquet(tmp_path / "data" / "test-0.parquet")
    dataset = load.dataset(f"hf:{tmp_path}/data", load=how)
    assert values(dataset.train) == [1, 2, 3, 4, 7, 6]
    assert dataset.train.labels.tolist() == [0, 1, 0, 1, 1, 0]
    assert dataset.test.labels.tolist() == [1, 0]


def test_a_folder_of_images(tmp_path, load):
    for split in ("train", "test"):
        for level, name in enumerate(NAMES):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (level, level, level)).save(folder / "0.png")
    dataset = load.dataset(f"hf:{tmp_path}/images")
    assert dataset.classes == NAMES
    assert values(dataset.train) == values(dataset.test) == [0, 1]


def test_an_arrow_file(tmp_path, load):
    TRAIN.save_to_disk(tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.arrow")
    assert values(load.train(f"hf:{file}")) == [1, 2, 3, 4]
    (tmp_path / "damaged.arrow").write_bytes(b"x" * 100)
    with pytest.raises(DataError, match=r"damaged\.arrow: cannot be loaded"):
        load.train(f"hf:{tmp_path}/damaged.arrow")


def test_no_such_data_set(load):
    with pytest.raises(DataError, match="hf:no/where: cannot be loaded"):
        load.dataset("hf:no/where")

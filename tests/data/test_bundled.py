"""Sources that come with a library; torchvision's files are made here, in its own formats."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image

from rayred.config import Data
from rayred.data import load_dataset
from rayred.errors import DataError


def test_digits_are_split_once_and_for_all():
    first, second = load_dataset("digits"), load_dataset("digits")
    assert first.train.images.shape == (1297, 8, 8, 1)
    assert len(first.test) == 500
    assert first.digest == second.digest
    assert set(first.train.names).isdisjoint(first.test.names)
    assert first.test.class_sizes().min() >= 48


def write_cifar(folder: Path, files: list[str], key: str, names_key: str, meta: str, classes: int):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for file in files:
        rows = {"data": rng.integers(0, 256, (classes, 3072), dtype=np.uint8)}
        rows[key] = list(range(classes))
        (folder / file).write_bytes(pickle.dumps(rows))
    names = {names_key: [f"class {number}" for number in range(classes)]}
    (folder / meta).write_bytes(pickle.dumps(names))


@pytest.mark.parametrize(
    ("name", "source", "folder", "key", "names_key", "meta", "classes"),
    [
        ("cifar10", "CIFAR10", "cifar-10-batches-py", "labels", "label_names", "batches.meta", 10),
        (
            "cifar100",
            "CIFAR100",
            "cifar-100-python",
            "fine_labels",
            "fine_label_names",
            "meta",
            100,
        ),
    ],
)
def test_cifar(monkeypatch, tmp_path, name, source, folder, key, names_key, meta, classes):
    source = getattr(torchvision.datasets, source)
    for files in ("train_list", "test_list"):
        unchecked = [(file, None) for file, _ in getattr(source, files)]
        monkeypatch.setattr(source, files, unchecked)
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": None})
    files = [file for file, _ in source.train_list + source.test_list]
    write_cifar(tmp_path / folder, files, key, names_key, meta, classes)
    dataset = load_dataset(name, Data(root=str(tmp_path)))
    assert dataset.train.image_shape == (32, 32, 3)
    assert len(dataset.test) == classes
    assert dataset.classes[3] == "class 3"


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(header + array.tobytes())


def test_fashion_mnist(tmp_path):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "t10k"):
        write_idx(raw / f"{split}-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
        write_idx(raw / f"{split}-labels-idx1-ubyte", np.arange(20, dtype=np.uint8) % 10)
    dataset = load_dataset("fashion-mnist", Data(root=str(tmp_path)))
    assert dataset.train.image_shape == (28, 28, 1)
    assert dataset.classes[9] == "Ankle boot"


def test_imagenet(tmp_path):
    names = {"n01": ("crane", "bird"), "n02": ("maillot",), "n03": ("maillot",)}
    torch.save((names, ["n01", "n02"]), tmp_path / "meta.bin")
    for split in ("train", "val"):
        for position, wnid in enumerate(names):
            (tmp_path / split / wnid).mkdir(parents=True)
            image = Image.new("RGB", (40 + position, 30))
            image.save(tmp_path / split / wnid / f"{wnid}_1.JPEG")
    dataset = load_dataset("imagenet", Data(root=str(tmp_path), image_size=16, center_crop=0.875))
    assert dataset.classes == ("crane, bird", "maillot (n02)", "maillot (n03)")
    assert dataset.train.image_shape == (16, 16, 3)


def test_imagenet_that_is_not_there_says_where_to_put_it(tmp_path):
    with pytest.raises(DataError, match=r"put the ILSVRC2012 archives into .*data\.root"):
        load_dataset("imagenet", Data(root=str(tmp_path), image_size=16))

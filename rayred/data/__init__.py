"""Labelled image data sets: functions that load them, and the classes that hold them.

>>> from rayred.data import load_dataset
>>> digits = load_dataset("digits")
>>> digits.train.images.shape, digits.train.images.dtype, len(digits.test)
((1297, 8, 8, 1), dtype('uint8'), 500)
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rayred.config import DATASETS, Data, check_dataset_name
from rayred.data.dataset import Dataset, Split, check_classes
from rayred.data.decode import ImageFiles

__all__ = ["DATASETS", "Dataset", "ImageFiles", "Split", "load_dataset", "load_train_split"]


def load_dataset(name: str, data: Data | None = None) -> Dataset:
    """Load a data set with its training and its test split.

    Parameters
    ----------
    name
        ``digits``, ``cifar10``, ``cifar100``, ``fashion-mnist``, ``imagenet``, ``folder:PATH``
        (PATH/train/CLASS/* and PATH/test/CLASS/*) or ``parquet:GLOB`` (with ``data.test``).
    data
        How images are found and read; default settings if not given.

    Raises
    ------
    DataError
        The data set is missing, empty, cannot be decoded, or its splits do not fit together.
    ValueError
        `name` is no known data set.
    """
    data = data or Data()
    return Dataset(name, _load_split(name, "train", data), _load_split(name, "test", data))


def load_train_split(name: str, data: Data | None = None) -> Split:
    """Load the training split alone; raises what `load_dataset` raises.

    The class folders of a ``folder:PATH`` may be in PATH itself, if PATH/train does not exist.
    """
    split = _load_split(name, "train", data or Data(), whole_folder=True)
    check_classes(name, split)
    return split


def _load_split(
    name: str, split: Literal["train", "test"], data: Data, whole_folder: bool = False
) -> Split:
    check_dataset_name(name)
    scheme, _, place = name.partition(":")
    if scheme == "folder":
        from rayred.data.files import folder_split

        folder = Path(place).expanduser()
        whole = whole_folder and folder.is_dir() and not (folder / split).is_dir()
        return folder_split(folder if whole else folder / split, data)
    if scheme == "parquet":
        from rayred.data.parquet import parquet_split

        return parquet_split(place if split == "train" else _parquet_glob(data), data)
    root = Path(data.root).expanduser()
    if name == "imagenet":
        from rayred.data.files import imagenet_split

        return imagenet_split(root, split, data)
    from rayred.data.bundled import digits_split, torchvision_split

    return digits_split(split) if name == "digits" else torchvision_split(name, split, root)


def _parquet_glob(data: Data) -> str:
    return (data.test or "").removeprefix("parquet:")

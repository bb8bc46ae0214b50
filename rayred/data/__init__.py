"""Labelled image data sets: functions that load them, and the classes that hold them.

>>> from rayred.data import load_dataset
>>> digits = load_dataset("digits")
>>> digits.train.images.shape, digits.train.images.dtype, len(digits.test)
((1297, 8, 8, 1), dtype('uint8'), 500)
"""

from __future__ import annotations

import logging
from typing import Literal

from rayred.config import DATASETS, Data
from rayred.config.experiment import is_dataset_name
from rayred.data.cache import home_expanded
from rayred.data.dataset import Dataset, Split
from rayred.data.images import EncodedImages
from rayred.data.listing import LeftOut, Listing
from rayred.data.loading import load_splits
from rayred.errors import DataError, NoSplitError

logger = logging.getLogger(__name__)

__all__ = [
    "DATASETS",
    "Dataset",
    "EncodedImages",
    "LeftOut",
    "Split",
    "load_dataset",
    "load_splits_there",
    "load_train_split",
]


def load_dataset(name: str, data: Data | None = None, *, whole: bool = False) -> Dataset:
    """Load a data set with its training and its test split.

    Parameters
    ----------
    name
        ``digits``, ``cifar10``, ``cifar100``, ``fashion-mnist``, ``imagenet``, ``folder:PATH``
        (PATH/train/CLASS/* and PATH/test/CLASS/*; with ``data.test`` also PATH/CLASS/*),
        ``parquet:GLOB`` (with ``data.test``) or ``hf:NAME_OR_PATH``.
    data
        How images are found and read; default settings if not given.
    whole
        Whether training cuts boxes out of whole images, which are then decoded when needed.

    Raises
    ------
    DataError
        The data set is unknown, missing or empty, cannot be used as it is, or has no labels.
    """
    data = data or Data()
    if data.unlabelled:
        raise DataError(
            f"{name}: data.unlabelled: a study trains and tests on labels; rayred prune goes"
            " without them"
        )
    elsewhere = data.test is not None
    listings = {
        "train": _list(name, "train", data, whole_folder=elsewhere),
        "test": _list(name, "test", data),
    }
    splits = load_splits(name, listings, data, whole=whole)
    return Dataset(name, splits["train"], splits["test"])


def load_train_split(name: str, data: Data | None = None, *, whole: bool = False) -> Split:
    """Load the training split alone; raises what `load_dataset` raises.

    The class folders of a ``folder:PATH`` may be in PATH itself.
    """
    data = data or Data()
    listing = _list(name, "train", data, whole_folder=True)
    listings = {"train": listing.unlabelled() if data.unlabelled else listing}
    return load_splits(name, listings, data, whole=whole)["train"]


def load_splits_there(name: str, data: Data | None = None) -> dict[str, Split]:
    """Load the splits that there are: ``train``, and ``test`` if the data set has one.

    Raises what `load_dataset` raises. The class folders of a ``folder:PATH`` may be in PATH itself.
    """
    data = data or Data()
    listings = {"train": _list(name, "train", data, whole_folder=True)}
    if not data.unlabelled:
        try:
            listings["test"] = _list(name, "test", data)
        except NoSplitError:
            logger.info("%s: has no test split", name)
    else:
        listings = {"train": listings["train"].unlabelled()}
    return load_splits(name, listings, data)


def _list(
    name: str, split: Literal["train", "test"], data: Data, whole_folder: bool = False
) -> Listing:
    """List the rows of a split; each kind of data set is loaded by what it needs alone."""
    if not is_dataset_name(name):
        raise DataError(
            f"{name}: unknown data set; expected {', '.join(DATASETS)}, folder:PATH, parquet:GLOB"
            " or hf:NAME_OR_PATH"
        )
    scheme, _, place = name.partition(":")
    if split == "test" and data.test is not None and is_dataset_name(data.test):
        scheme, _, place = data.test.partition(":")
        if scheme != "hf":
            return _list(data.test, "train", data, whole_folder=True)
        from rayred.data.hub import list_hub

        return list_hub(place, "test", data, alone=True)
    if scheme == "folder":
        from rayred.data.folder import list_folder

        return list_folder(home_expanded(place), split, data, whole=whole_folder)
    if scheme == "parquet":
        from rayred.data.parquet import list_parquet

        if split == "test" and data.test is None:
            raise NoSplitError(f"{name}: has no test split (data.test)")
        return list_parquet(place if split == "train" else data.test or "", data)
    if scheme == "hf":
        from rayred.data.hub import list_hub

        return list_hub(place, split, data)
    if name == "digits":
        from rayred.data.bundled import list_digits

        return list_digits(split)
    root = home_expanded(data.root)
    if name == "imagenet":
        from rayred.data.folder import imagenet_listing

        return imagenet_listing(root, split)
    from rayred.data.bundled import list_torchvision

    return list_torchvision(name, split, root)

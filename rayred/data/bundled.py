"""Data sets from libraries: scikit-learn's digits, and those that torchvision downloads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rayred.data.images import PixelImages
from rayred.data.listing import Listing
from rayred.errors import DataError

DIGITS_TEST_IMAGES = 500
TORCHVISION = {"cifar10": "CIFAR10", "cifar100": "CIFAR100", "fashion-mnist": "FashionMNIST"}


def list_digits(split: str) -> Listing:
    """List the ``train`` (1,297) or ``test`` (500) images of scikit-learn's 8 × 8 digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[:, :, :, None]
    train, test = train_test_split(
        np.arange(len(images)),
        test_size=DIGITS_TEST_IMAGES,
        stratify=digits.target,
        random_state=0,
    )
    chosen = np.sort(train if split == "train" else test)
    return Listing(
        PixelImages(images[chosen]),
        digits.target[chosen].astype(np.int64),
        tuple(str(digit) for digit in digits.target_names),
        [f"digit {index}" for index in chosen],
    )


def list_torchvision(name: str, split: str, root: Path) -> Listing:
    """List the ``train`` or ``test`` images of a data set in `TORCHVISION`.

    It is downloaded into `root` if it is missing there. Raises `DataError` if that fails.
    """
    import torchvision.datasets

    source_class: Any = getattr(torchvision.datasets, TORCHVISION[name])
    try:
        root.mkdir(parents=True, exist_ok=True)
        source = source_class(str(root), train=split == "train", download=True)
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{name}: not found in {root} and cannot be downloaded: {error}; put torchvision's"
            " files there, or set data.root"
        ) from error
    images = np.asarray(source.data)
    if images.ndim == 3:
        images = images[:, :, :, None]
    return Listing(
        PixelImages(np.ascontiguousarray(images)),
        np.asarray(source.targets, dtype=np.int64),
        tuple(source.classes),
        [f"{split} {index}" for index in range(len(images))],
    )

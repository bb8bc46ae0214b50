"""A subset that was chosen before the study, as rows of the user's data in a file.

Legend: N training images, n of them kept.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.array_files import read_rows
from rayred.data.dataset import Split
from rayred.errors import DataError

SHARE_DIFFERS = 0.01
"""Most by which the share of images that are kept, or are not, may differ from what the fraction
says, relative to itself."""


def read_given(path: Path, train: Split, fraction: float) -> NDArray[np.int64]:
    """Return which of the N training images a file of rows keeps, (n,) int64 ascending.

    Parameters
    ----------
    path
        File of rows, see `rayred.clustering.array_files.read_rows`, such as the `kept.npy` of a
        smaller data set.
    train
        The training images.
    fraction
        Share of all images that the study knows the subset by.

    Raises
    ------
    ConfigError, DataError
        The file cannot be read, or does not hold rows of these images, each once, with some of
        every class and about so many in all.
    """
    rows = read_rows(path)
    missing = np.setdiff1d(rows, train.rows)
    if len(missing):
        raise DataError(
            f"{path}: {len(missing):,} of its rows are no images of the data set (first: row"
            f" {missing[0]})"
        )
    kept = train.places(rows)
    sizes = np.bincount(train.labels[kept], minlength=len(train.classes))
    if not sizes.all():
        raise DataError(
            f"{path}: keeps no image of class {train.classes[int(sizes.argmin())]!r}, which no"
            " network could learn then"
        )
    share = len(kept) / len(train)
    if abs(share - fraction) > SHARE_DIFFERS * min(share, 1 - share):
        raise DataError(
            f"{path}: keeps {len(kept):,} of {len(train):,} images; sweep.fractions needs"
            f" {share:.4g}, not {fraction:g}"
        )
    return kept

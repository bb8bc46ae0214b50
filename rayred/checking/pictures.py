"""The images of all splits of a data set, in one row, as they are compared.

Legend: N images of all splits, D numbers that an image is compared by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.checks import with_directions
from rayred.data import Split
from rayred.data.appearance import look_at
from rayred.data.thumbnails import small_sides


@dataclass(frozen=True)
class Pictures:
    """The images of the training split, then those of the test split if there is one."""

    splits: Mapping[str, Split]
    """The splits by name, ``train`` first."""
    split: NDArray[np.int64]
    """(N,) the number of each image's split, 0 for ``train``."""
    label: NDArray[np.int64]
    """(N,) the index of each image's class."""
    encoded: NDArray[np.int64]
    """(N,) equal numbers for images of equal bytes; −1 − i where image i has no encoded bytes."""
    pixels: NDArray[np.int64]
    """(N,) equal numbers for images of equal pixels once decoded."""
    hashes: NDArray[np.uint64]
    """(N, 8) perceptual hashes, see `rayred.data.appearance`."""
    x: NDArray[Any]
    """(N, D) embeddings or thumbnails; none is all zero."""

    @classmethod
    def of(cls, splits: Mapping[str, Split], given: Mapping[str, NDArray[Any]]) -> Pictures:
        """Look at all images once.

        Parameters
        ----------
        splits
            The splits by name.
        given
            Embeddings of each split, (n, D); without them, thumbnails are compared.
        """
        seen = {name: look_at(one, thumbnails=not given) for name, one in splits.items()}
        parts = [given[name] if given else one.thumbnails for name, one in seen.items()]
        x = np.concatenate([part for part in parts if part is not None])
        return cls(
            splits,
            np.repeat(np.arange(len(splits)), [len(one) for one in splits.values()]),
            np.concatenate([one.labels for one in splits.values()]),
            _encoded(list(splits.values())),
            _numbers(np.concatenate([one.pixels for one in seen.values()])),
            np.concatenate([one.hashes for one in seen.values()]),
            with_directions(x),
        )

    @staticmethod
    def bytes_of(splits: Mapping[str, Split]) -> int:
        """Return about how many bytes of memory it takes to compare thumbnails of all images.

        They are held in float32 and float64, and as the two factors of their products.
        """
        width, height = small_sides(splits["train"])
        numbers = width * height * splits["train"].image_shape[2]
        return sum(map(len, splits.values())) * numbers * (4 + 8 + 8 + 4 + 4)

    @property
    def kind(self) -> NDArray[np.int64]:
        """(N,) a number for each split and class."""
        return self.split * (int(self.label.max()) + 1) + self.label

    def first(self, split: int) -> int:
        """Return the number of the first image of a split."""
        return int(np.searchsorted(self.split, split))


def _encoded(splits: list[Split]) -> NDArray[np.int64]:
    n = sum(map(len, splits))
    numbers = -1 - np.arange(n)
    known = np.concatenate([np.full(len(one), one.digests is not None) for one in splits])
    digests = [one.digests.view(np.uint64) for one in splits if one.digests is not None]
    if digests:
        numbers[known] = _numbers(np.concatenate(digests))
    return numbers


def _numbers(digests: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return equal numbers for equal rows of (N, 2)."""
    keys = np.ascontiguousarray(digests).view([("high", np.uint64), ("low", np.uint64)]).ravel()
    return np.unique(keys, return_inverse=True)[1]

"""What is kept of a data set with a study: what is left out, and which images there were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.data.dataset import Split, write_left_out
from rayred.store import Stage

Fingerprints = Mapping[str, NDArray[np.uint8]]
"""By split: `Split.fingerprints`."""


def _save_left_out(folder: Path, splits: Mapping[str, Split]) -> None:
    write_left_out(folder / "left-out.csv", splits)


def _save_images(folder: Path, fingerprints: Fingerprints) -> None:
    arrays: dict[str, Any] = dict(fingerprints)
    np.savez(folder / "images.npz", **arrays)


def _load_images(folder: Path) -> Fingerprints:
    with np.load(folder / "images.npz") as file:
        return {split: file[split] for split in file.files}


LEFT_OUT = Stage[Mapping[str, Split], None]("left-out", _save_left_out, lambda _: None)
"""What the data set has beside the images that are used, with the reason of each."""
IMAGES = Stage[Fingerprints, Fingerprints]("images", _save_images, _load_images, shown=False)
"""Which images there were, to count those that have changed."""


def describe_changes(before: Fingerprints, now: Fingerprints) -> list[str]:
    """Return for each split that has changed how many are new and how many are gone, in words.

    An image whose class has changed is both.
    """
    found = []
    for split, images in now.items():
        old, new = (_counted(one) for one in (before.get(split, images[:0]), images))
        added = sum((new - old).values())
        removed = sum((old - new).values())
        if added or removed:
            found.append(f"{split}: {added:,} new, {removed:,} gone")
    return found


def _counted(images: NDArray[np.uint8]) -> Counter[bytes]:
    return Counter(image.tobytes() for image in images)

"""In which space the images of a data set are compared: a model's embeddings, or pixels.

Legend: N images, D embedding dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.array_files import read_embeddings
from rayred.clustering.checks import check_rows
from rayred.data import Split
from rayred.data.thumbnails import thumbnails
from rayred.errors import ConfigError, DataError
from rayred.store import Made


@dataclass(frozen=True)
class Space:
    """In which space images are compared; by default that of a reference model."""

    embeddings: Path | None = None
    """File with one embedding an image."""
    pixels: bool = False
    """Whether thumbnails are compared."""
    unlabelled: bool = False
    """Whether there are no labels, so that no reference model can be trained."""

    def __post_init__(self) -> None:
        if self.embeddings is not None and self.pixels:
            raise ConfigError("prune: give either embeddings or pixels")
        if self.unlabelled and self.embeddings is None and not self.pixels:
            raise ConfigError(
                "prune: without labels no reference model can be trained; give --embeddings FILE or"
                " --pixels"
            )

    def files(self) -> list[Path]:
        """Return the files that are read."""
        return [] if self.embeddings is None else [self.embeddings]

    def given(self, images: Split) -> Made[NDArray[Any]] | None:
        """Return what images are compared by, (N, D), or None if a reference model embeds them.

        Raises
        ------
        DataError
            The file cannot be used for these images.
        """
        if self.embeddings is not None:
            return given_embeddings(self.embeddings, images)
        if not self.pixels:
            return None
        x = thumbnails(images)
        digest = keys.array(x)
        return Made(x, digest, digest)


def given_embeddings(path: Path, images: Split) -> Made[NDArray[Any]]:
    """Return the embeddings in a file, one an image, under a key of their type and values.

    The file may have a row for every row of the data set, or for every image that is used.
    """
    embeddings, rows = read_embeddings(path), np.arange(len(images))
    if len(embeddings) == images.n_rows() != len(images):
        embeddings, rows = embeddings[images.rows], images.rows
    if len(embeddings) != len(images):
        raise DataError(f"{path}: has {len(embeddings)} rows for {len(images)} images")
    try:
        check_rows(embeddings, images.labels, images.classes, rows)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    digest = keys.array(embeddings)
    return Made(embeddings, digest, digest)

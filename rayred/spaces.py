"""In which space the images of a data set are compared: embeddings of a model, or pixels.

Legend: N images, D embedding dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.array_files import read_embeddings
from rayred.clustering.checks import check_rows
from rayred.data import Split
from rayred.data.thumbnails import thumbnails
from rayred.embedding import TrainedBefore
from rayred.errors import ConfigError, DataError, RunFolderError
from rayred.models.pretrained import DEFAULT, Pretrained
from rayred.store import Made, Store
from rayred.study import experiment_of
from rayred.training import Trained
from rayred.training.stages import REFERENCE

READ_AS = ("fit", "center_crop", "background")
"""Settings of data, beside the size, that decide what a model sees of an image."""


@dataclass(frozen=True)
class Space:
    """In which space images are compared; by default that of a reference model."""

    embeddings: Path | None = None
    """File with one embedding an image."""
    pixels: bool = False
    """Whether thumbnails are compared."""
    unlabelled: bool = False
    """Whether there are no labels, so that no reference model can be trained."""
    model: str | None = None
    """Name of a model that is trained already."""
    weights: Path | str | None = None
    """Its weights: a file, or the text ``default``."""
    reference: Path | None = None
    """Folder of an earlier study or smaller data set, whose reference model is used."""

    def __post_init__(self) -> None:
        ways = [
            self.embeddings is not None,
            self.pixels,
            self.model is not None,
            self.reference is not None,
        ]
        if sum(ways) > 1:
            raise ConfigError("prune: give one of embeddings, a model, a reference and pixels")
        if self.model is not None and self.weights is None:
            raise ConfigError(
                f"prune: model {self.model!r} has no weights; give --weights FILE or --weights"
                " default"
            )
        if self.weights is not None and self.model is None:
            raise ConfigError(
                f"prune: weights {str(self.weights)!r} have no model; give --model NAME"
            )
        if self.unlabelled and not any(ways):
            raise ConfigError(
                "prune: without labels no reference model can be trained; give --model NAME,"
                " --reference DIR, --embeddings FILE or --pixels"
            )

    @property
    def is_of_reference(self) -> bool:
        """Whether it is that of a reference model that is trained now."""
        given = self.embeddings, self.model, self.reference
        return all(one is None for one in given) and not self.pixels

    def files(self) -> list[Path]:
        """Return the files and folders that are read."""
        weights = None if self.weights == DEFAULT else self.weights
        read = self.embeddings, weights, self.reference
        return [Path(file) for file in read if file is not None]

    def data_settings(self) -> dict[str, Any]:
        """Return the settings of data with which images are read as the model wants them.

        Raises
        ------
        ConfigError, RunFolderError
            There is no such model.
        """
        if self.model is not None:
            return {"image_size": Pretrained.named(self.model).side}
        if self.reference is None:
            return {"image_size": "auto"}
        data = experiment_of(Store(self.reference)).data.model_dump(include=set(READ_AS))
        height, width, _ = self._trained.spec.image_shape
        return {**data, "image_size": width if height == width else None}

    def trained_before(self) -> TrainedBefore | None:
        """Return the model that is trained already, if there is one, with its weights.

        Raises
        ------
        ConfigError, RunFolderError
            The weights cannot be had, or are not those of the model.
        """
        if self.model is not None and self.weights is not None:
            return TrainedBefore.published(Pretrained.named(self.model), self.weights)
        if self.reference is not None:
            return TrainedBefore.reference(self._trained)
        return None

    @cached_property
    def _trained(self) -> Trained:
        """The reference model in the folder `reference`."""
        assert self.reference is not None
        trained = Store(self.reference).current(REFERENCE)
        if trained is None:
            raise RunFolderError(
                f"{self.reference}: has no reference model, of rayred run or prune"
            )
        return trained.value

    def given(self, images: Split) -> Made[NDArray[Any]] | None:
        """Return what images are compared by, (N, D), or None if a model embeds them.

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

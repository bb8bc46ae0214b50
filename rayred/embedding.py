"""The embedding pass: all training images, or others, by the reference or a model trained before.

Legend: N images, D embedding dimensions.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rayred import keys
from rayred.data import Split
from rayred.errors import ConfigError
from rayred.job import Job
from rayred.models.pretrained import Pretrained, load_pretrained
from rayred.progress import progress_bar
from rayred.stages import numbered
from rayred.store import Made, Stage
from rayred.training import Trained, load_model
from rayred.training.embedding_parts import EMBEDDING_PARTS, EmbeddingParts
from rayred.training.on_ray import LoadEmbedder, embed_with_ray
from rayred.training.stages import EMBEDDINGS, OTHERS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedBefore:
    """A network that was trained elsewhere, and what it makes of images."""

    name: str
    """Name of the network."""
    load: LoadEmbedder
    """Makes the network on a worker, of its weights."""
    weights: Mapping[str, Tensor]
    """All of its weights but those of classifiers that are not used, on the CPU."""
    preprocessing: Mapping[str, Any]
    """What decides what the images go through before the network, as plain values."""
    image_shape: tuple[int, int, int] | None = None
    """Height, width and channels of the images that it takes; None if it takes any."""

    @classmethod
    def published(cls, spec: Pretrained, source: Path | str) -> TrainedBefore:
        """Return a network of a library with the weights of a file, or ``default`` ones.

        Raises
        ------
        ConfigError
            The weights cannot be had, or are not those of the network.
        """
        load = partial(load_pretrained, spec)
        return cls(spec.name, load, spec.weights(source), spec.preprocessing())

    @classmethod
    def reference(cls, trained: Trained) -> TrainedBefore:
        """Return the reference model of a study."""
        spec = trained.spec
        load = partial(load_model, spec)
        return cls(spec.name, load, trained.weights, asdict(spec), spec.image_shape)

    def digest(self) -> str:
        """Return the digest of the weights."""
        arrays = {name: weight.numpy() for name, weight in self.weights.items()}
        return keys.weights(arrays)

    def check(self, images: Split, name: str) -> None:
        """Refuse images of a data set that the network does not take; it takes grey for colour.

        Raises
        ------
        ConfigError
            They have another size, or have colours where the network takes grey ones.
        """
        if self.image_shape is None:
            return
        (*size, channels), (*theirs, colors) = self.image_shape, images.image_shape
        if size != theirs or colors > channels:
            raise ConfigError(
                f"{name}: its images have {_shape(images.image_shape)}, and {self.name} takes"
                f" {_shape(self.image_shape)}"
            )

    def sentence(self) -> str:
        """Return the network in words, another text for other weights."""
        return f"{self.name} with weights {self.digest()[:8]}"

    def embed(self, job: Job, others: Split | None = None) -> Made[NDArray[np.float32]]:
        """Return the embeddings of all training images, or of `others`, (N, D) float32."""
        logger.info("embeddings: %s", self.sentence())
        digest = job.dataset.digest if others is None else others.digest
        key = keys.embeddings(
            dataset=digest,
            model=self.name,
            weights=self.digest(),
            preprocessing=self.preprocessing,
        )
        stage = EMBEDDINGS if others is None else OTHERS
        return _embed(job, key, self.load, self.weights, stage, others)


def _shape(shape: tuple[int, int, int]) -> str:
    return f"{shape[1]} × {shape[0]} pixels in {'grey' if shape[2] == 1 else 'colour'}"


def embed(job: Job, reference: Made[Trained], number: int = 0) -> Made[NDArray[np.float32]]:
    """Return embeddings of all training images, (N, D) float32, by the reference of a number."""
    key = job.keys.embeddings(reference.value)
    stage = numbered(EMBEDDINGS, number) if number else EMBEDDINGS
    return _embed(job, key, partial(load_model, job.task.spec), reference.value.weights, stage)


def _embed(
    job: Job,
    key: str,
    load: LoadEmbedder,
    weights: Mapping[str, Tensor],
    stage: Stage[EmbeddingParts, NDArray[np.float32]] = EMBEDDINGS,
    others: Split | None = None,
) -> Made[NDArray[np.float32]]:
    """Return the embeddings of a key: those that the folder has, or parts that are missing made.

    Those are of the training images, or of `others`.
    """

    def embed_missing() -> EmbeddingParts:
        split = job.dataset.train if others is None else others
        parts = EmbeddingParts(job.store.place(EMBEDDING_PARTS) / key, len(split))
        missing = parts.missing()
        done = parts.n_images - sum(end - first for first, end in missing)
        found = embed_with_ray(load, weights, split, missing, job.layout.embedding)
        with progress_bar("embeddings", "image", parts.n_images, done) as bar:
            for part, embeddings in found:
                parts.keep(part, embeddings)
                job.store.put_placed(EMBEDDING_PARTS)
                bar.update(len(embeddings))
        return parts

    embeddings = job.store.run(stage, key, embed_missing)
    job.store.remove(EMBEDDING_PARTS)
    return embeddings

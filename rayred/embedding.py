"""The embedding pass: all training images by the reference model, or by one trained before.

Legend: N images, D embedding dimensions.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rayred import keys
from rayred.job import Job
from rayred.models.pretrained import Pretrained, load_pretrained
from rayred.progress import progress_bar
from rayred.stages import numbered
from rayred.store import Made, Stage
from rayred.training import Trained, load_model
from rayred.training.embedding_parts import EMBEDDING_PARTS, EmbeddingParts
from rayred.training.on_ray import LoadEmbedder, embed_with_ray
from rayred.training.stages import EMBEDDINGS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedBefore:
    """A network that was trained elsewhere."""

    spec: Pretrained
    weights: Mapping[str, Tensor]
    """All of its weights but those of classifiers, on the CPU."""

    def digest(self) -> str:
        """Return the digest of the weights."""
        arrays = {name: weight.numpy() for name, weight in self.weights.items()}
        return keys.weights(arrays)

    def embed(self, job: Job) -> Made[NDArray[np.float32]]:
        """Return the embeddings of all training images, (N, D) float32."""
        spec, weights = self.spec, self.digest()
        logger.info(
            "embeddings: %s, weights %s, images of %d × %d pixels",
            spec.name,
            weights,
            spec.side,
            spec.side,
        )
        key = keys.embeddings(
            dataset=job.dataset.digest,
            model=spec.name,
            weights=weights,
            preprocessing=spec.preprocessing(),
        )
        return _embed(job, key, partial(load_pretrained, spec), self.weights)


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
) -> Made[NDArray[np.float32]]:
    """Return the embeddings of a key: those that the folder has, or parts that are missing made."""

    def embed_missing() -> EmbeddingParts:
        parts = EmbeddingParts(job.store.place(EMBEDDING_PARTS) / key, len(job.rows))
        missing = parts.missing()
        done = parts.n_images - sum(end - first for first, end in missing)
        found = embed_with_ray(load, weights, job.dataset_ref, missing, job.layout.embedding)
        with progress_bar("embeddings", "image", parts.n_images, done) as bar:
            for part, embeddings in found:
                parts.keep(part, embeddings)
                bar.update(len(embeddings))
        return parts

    embeddings = job.store.run(stage, key, embed_missing)
    job.store.remove(EMBEDDING_PARTS)
    return embeddings

"""The reference model of a study, and the classes clustered in its space."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.groups import grow_trees
from rayred.clustering.on_ray import RayMap
from rayred.clustering.trees import ClassTrees
from rayred.errors import DataError
from rayred.job import Job
from rayred.machines.connect import share
from rayred.selection import needs_scores
from rayred.stages import TREES
from rayred.store import ENVIRONMENT, Made
from rayred.study import zero_embeddings
from rayred.training import Trained
from rayred.training.on_ray import train_with_ray
from rayred.training.stages import REFERENCE

logger = logging.getLogger(__name__)


def train_reference(job: Job) -> Made[Trained]:
    """Train the reference model on all training images.

    How each of them is learned is followed if a selector needs it.
    """
    selectors = job.experiment.sweep.selectors
    key, follow = job.keys.reference(keys.array(job.rows)), needs_scores(selectors)
    if follow:
        key = keys.followed(training=key)
    task = replace(job.task, follow=follow)
    tested = "training" if job.dataset.test is job.dataset.train else "test"

    def train() -> Trained:
        scaling, storage = job.layout.reference, job.layout.storage
        rows = share(job.rows)
        return train_with_ray(task, job.dataset_ref, rows, scaling, storage, f"reference-{key}")

    reference = job.store.run(REFERENCE, key, train)
    job.store.take({ENVIRONMENT.name: reference.environment})
    job.store.show()
    accuracy = 100 * reference.value.test_accuracy
    logger.info("reference: accuracy %.2f %% on the %s images", accuracy, tested)
    return reference


def cluster_classes(job: Job, embeddings: Made[NDArray[Any]], map: RayMap) -> Made[ClassTrees]:
    """Cluster every class down to the smallest fraction."""
    labels, smallest = job.dataset.train.labels, min(job.experiment.sweep.fractions)
    grow = partial(grow_trees, map=map, workers=map.workers, device=map.device, zero_rows="apart")

    def cluster() -> ClassTrees:
        with clustering_errors():
            for note in zero_embeddings(job.dataset, embeddings.value):
                logger.warning("%s", note)
            return grow(embeddings.value, labels, smallest, job.experiment.linkage)

    return job.store.run(TREES, job.keys.trees(embeddings.digest), cluster)


@contextmanager
def clustering_errors() -> Iterator[None]:
    """Turn what the clustering cannot use into an error of the data."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"the embeddings cannot be clustered: {error}") from error

"""The reference models of a study, the space that images are compared in, and its clusters.

The first reference, number 0, is that of a study with one. Others differ from it by their seeds
alone: they say how much of what is chosen is the data's, and how much that of one training.

Legend: N images, R references, D embedding dimensions of each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.checks import check_rows
from rayred.clustering.groups import RedundantGroups, grow_trees, redundant_groups
from rayred.clustering.on_ray import RayMap
from rayred.clustering.trees import ClassTrees
from rayred.embedding import embed
from rayred.errors import DataError
from rayred.job import Job, reference_seed
from rayred.machines.connect import share
from rayred.selection import needs_scores
from rayred.selection.overlap import Overlap, overlaps
from rayred.stages import OVERLAP, TREES, numbered
from rayred.store import ENVIRONMENT, Made, Stage
from rayred.study import zero_embeddings
from rayred.training import Trained
from rayred.training.on_ray import train_with_ray
from rayred.training.stages import MEAN_SPACE, REFERENCE

logger = logging.getLogger(__name__)


def train_references(job: Job) -> list[Made[Trained]]:
    """Train all reference models of a study."""
    return [train_reference(job, number) for number in range(job.experiment.selection.references)]


def train_reference(job: Job, number: int = 0) -> Made[Trained]:
    """Train the reference model of a number on all training images.

    How each of them is learned is followed if a selector needs it.
    """
    selectors = job.experiment.sweep.selectors
    key, follow = job.keys.reference(keys.array(job.rows), number), needs_scores(selectors)
    if follow:
        key = keys.followed(training=key)
    seed = reference_seed(job.experiment.seed, number)
    task = replace(job.task, follow=follow, seed=seed)
    stage = numbered(REFERENCE, number) if number else REFERENCE
    tested = "training" if job.dataset.test is job.dataset.train else "test"

    def train() -> Trained:
        scaling, storage = job.layout.reference, job.layout.storage
        rows = share(job.rows)
        return train_with_ray(task, job.dataset_ref, rows, scaling, storage, f"reference-{key}")

    reference = job.store.run(stage, key, train)
    if number == 0:
        job.store.take({ENVIRONMENT.name: reference.environment})
        job.store.show()
    accuracy = 100 * reference.value.test_accuracy
    logger.info("%s: accuracy %.2f %% on the %s images", stage.name, accuracy, tested)
    return reference


def embed_by_each(job: Job, references: Sequence[Made[Trained]]) -> list[Made[NDArray[Any]]]:
    """Return the embeddings of all training images by each reference, (N, D) float32."""
    return [embed(job, one, number) for number, one in enumerate(references)]


def space_of(job: Job, embeddings: Sequence[Made[NDArray[Any]]]) -> Made[NDArray[Any]]:
    """Return what selectors compare images by.

    Parameters
    ----------
    job
        The study.
    embeddings
        (N, D) embeddings by each reference.

    Returns
    -------
    space
        The embeddings by the first reference, (N, D); with `selection.average` (N, R D), or wider,
        of which the cosine distances are the means over all references.
    """
    if not job.experiment.selection.average:
        return embeddings[0]
    values = [one.value for one in embeddings]

    def check() -> list[NDArray[Any]]:
        with clustering_errors():
            for x in values:
                check_rows(x, job.dataset.train.labels, zero_rows="apart")
        return values

    key = keys.mean_space(embeddings=[one.digest for one in embeddings])
    return job.store.run(MEAN_SPACE, key, check)


def scores_of(job: Job, references: Sequence[Made[Trained]]) -> Mapping[str, NDArray[np.float64]]:
    """Return how each image was learned, (N,) by name.

    By the first reference; with `selection.average` the mean over all. An image that one of them
    never learned counts as never learned (infinitely often unlearned).
    """
    first = references[0].value.scores
    if not job.experiment.selection.average:
        return first
    each = [one.value.scores for one in references]
    return {name: np.mean([scores[name] for scores in each], axis=0) for name in first}


def cluster_classes(
    job: Job,
    embeddings: Made[NDArray[Any]],
    map: RayMap,
    stage: Stage[ClassTrees, ClassTrees] = TREES,
) -> Made[ClassTrees]:
    """Cluster every class down to the smallest fraction."""
    labels, smallest = job.dataset.train.labels, min(job.experiment.sweep.fractions)
    grow = partial(grow_trees, map=map, workers=map.workers, device=map.device, zero_rows="apart")

    def cluster() -> ClassTrees:
        with clustering_errors():
            for note in zero_embeddings(job.dataset.train, embeddings.value):
                logger.warning("%s", note)
            return grow(embeddings.value, labels, smallest, job.experiment.linkage)

    return job.store.run(stage, job.keys.trees(embeddings.digest), cluster)


def groups_of(
    job: Job,
    embeddings: Made[NDArray[Any]],
    trees: Made[ClassTrees],
    fractions: Sequence[float],
    map: RayMap,
) -> RedundantGroups:
    """Return the redundant groups at some fractions, and the image kept of each."""
    with clustering_errors():
        return redundant_groups(
            embeddings.value,
            job.dataset.train.labels,
            fractions,
            job.experiment.linkage,
            map=map,
            workers=map.workers,
            device=map.device,
            trees=trees.value,
            zero_rows="apart",
        )


def compare_references(
    job: Job, embeddings: Sequence[Made[NDArray[Any]]], trees: Made[ClassTrees], map: RayMap
) -> None:
    """Keep how alike the references choose, each by itself, if there are several.

    Parameters
    ----------
    job
        The study.
    embeddings
        (N, D) embeddings by each reference.
    trees
        Those of the study: of the first reference, unless distances are averaged.
    map
        Runs the work on classes.
    """
    if len(embeddings) == 1:
        return
    fractions = [fraction for fraction in job.experiment.sweep.fractions if fraction < 1]
    own = [] if job.experiment.selection.average else [trees]
    for number, x in list(enumerate(embeddings))[len(own) :]:
        own.append(cluster_classes(job, x, map, numbered(TREES, number)))
    key = keys.overlap(
        embeddings=[one.digest for one in embeddings],
        trees=[one.digest for one in own],
        fractions=fractions,
    )

    def compare() -> tuple[Overlap, ...]:
        each = zip(embeddings, own, strict=True)
        return overlaps([groups_of(job, *one, fractions, map) for one in each])

    for one in job.store.run(OVERLAP, key, compare).value:
        logger.info("references: %s", one.sentence())


@contextmanager
def clustering_errors() -> Iterator[None]:
    """Turn what the clustering cannot use into an error of the data."""
    try:
        yield
    except ValueError as error:
        raise DataError(f"the embeddings cannot be clustered: {error}") from error

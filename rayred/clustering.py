"""Every class clustered on its own, in parallel Ray actors.

Legend: N images, C classes, D embedding dimensions.
"""

from __future__ import annotations

import numpy as np
import ray
from numpy.typing import NDArray
from ray.util import ActorPool

from rayred.class_trees import ClassTrees, kept_images
from rayred.config import Linkage
from rayred.errors import DataError
from rayred.linkage import Tree, linkage_tree

RESTARTS = 3
"""Times that an actor that died is replaced, and its class clustered again."""


def cluster_classes(
    embeddings_ND: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    fraction: float,
    linkage: Linkage,
    actors: int,
) -> ClassTrees:
    """Cluster each class down to the clusters of the smallest subset wanted.

    Parameters
    ----------
    embeddings_ND, labels_N
        (N, D) embeddings and (N,) classes.
    fraction
        The smallest fraction that the trees will be cut at.
    linkage
        Method and back end.
    actors
        Number of Ray actors, one CPU each.

    Raises
    ------
    DataError
        An embedding is not finite, or zero.
    """
    by_class = np.argsort(labels_N, kind="stable")
    sizes = np.bincount(labels_N)
    members = np.split(by_class, np.cumsum(sizes)[:-1])
    embeddings_ref = ray.put(embeddings_ND)
    actor = ray.remote(_Clusterer).options(
        num_cpus=1, max_restarts=RESTARTS, max_task_retries=RESTARTS
    )
    pool = ActorPool([actor.remote() for _ in range(min(actors, len(sizes)))])
    tasks = [(embeddings_ref, rows, kept_images(len(rows), fraction), linkage) for rows in members]
    try:
        trees = list(pool.map(lambda one, task: one.cluster.remote(*task), tasks))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise DataError(f"the embeddings cannot be clustered: {error.cause}") from error
        raise
    return ClassTrees(tuple(members), tuple(trees))


class _Clusterer:
    def cluster(
        self,
        embeddings: NDArray[np.float32],
        rows: NDArray[np.int64],
        n_clusters: int,
        linkage: Linkage,
    ) -> Tree:
        return linkage_tree(
            embeddings[rows], n_clusters, method=linkage.method, backend=linkage.backend
        )

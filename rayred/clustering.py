"""Every class clustered on its own, in parallel Ray actors; a huge class spread over all of them.

Legend: N images, C classes, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.util import ActorPool
from torch import Tensor

from rayred.class_trees import ClassTrees, kept_images
from rayred.cluster import Scaling
from rayred.config import Linkage
from rayred.errors import DataError
from rayred.linkage import EngineSettings, Tree, linkage_trees
from rayred.linkage.pairs import near_pairs

RESTARTS = 3
"""Times that an actor that died is replaced, and its classes or its tile done again."""
TILED_ROWS = 50_000
"""Classes of so many images are spread over all actors, tile by tile."""
TASKS_AN_ACTOR = 4
"""Into how many parts an actor's share is cut, so that none waits long for the last."""


def cluster_classes(
    embeddings_ND: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    fraction: float,
    linkage: Linkage,
    scaling: Scaling,
    tiled_rows: int = TILED_ROWS,
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
    scaling
        Number of Ray actors, and what each has.
    tiled_rows
        Images from which on a class is spread over all actors. The tree is the same.

    Raises
    ------
    DataError
        An embedding is not finite, or zero.
    """
    by_class = np.argsort(labels_N, kind="stable")
    members = np.split(by_class, np.cumsum(np.bincount(labels_N))[:-1])
    actor = ray.remote(_Clusterer).options(
        num_cpus=scaling.threads,
        num_gpus=1 if scaling.gpu else 0,
        max_restarts=RESTARTS,
        max_task_retries=RESTARTS,
    )
    actors = [actor.remote(scaling.threads, scaling.gpu) for _ in range(scaling.workers)]
    tiled = linkage.method == "complete" and linkage.backend != "scipy"
    huge = [tiled and len(rows) >= tiled_rows for rows in members]
    embeddings_ref = ray.put(embeddings_ND)
    shared = [
        (label, rows, kept_images(len(rows), fraction))
        for label, rows in enumerate(members)
        if not huge[label]
    ]
    tasks = [
        (embeddings_ref, [shared[place] for place in part], linkage)
        for part in np.array_split(np.arange(len(shared)), TASKS_AN_ACTOR * len(actors))
        if len(part)
    ]
    trees: dict[int, Tree] = {}
    try:
        for found in ActorPool(actors).map_unordered(lambda a, t: a.cluster.remote(*t), tasks):
            trees |= found
        for label, rows in enumerate(members):
            if huge[label]:
                count = kept_images(len(rows), fraction)
                trees[label] = _tiled_tree(embeddings_ND, rows, count, actors, tiled_rows)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise DataError(f"the embeddings cannot be clustered: {error.cause}") from error
        raise
    except ValueError as error:
        raise DataError(f"the embeddings cannot be clustered: {error}") from error
    return ClassTrees(tuple(members), tuple(trees[label] for label in range(len(members))))


def _tiled_tree(
    embeddings: NDArray[np.float32],
    rows: NDArray[np.int64],
    n_clusters: int,
    actors: list[ray.actor.ActorHandle],
    tiled_rows: int,
) -> Tree:
    """Return a class's tree: near pairs from all actors, gathered and merged here once."""

    def find(
        left: Tensor, right: Tensor, limit: float, block: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        factors = ray.put((left.numpy(), right.numpy()))
        tasks = [
            (factors, limit, block, strip)
            for strip in _strips(len(left), TASKS_AN_ACTOR * len(actors))
        ]
        found = ActorPool(actors).map_unordered(lambda a, t: a.near_pairs.remote(*t), tasks)
        i, j = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return torch.from_numpy(i), torch.from_numpy(j)

    settings = EngineSettings(device="cpu", find=find, find_from=tiled_rows)
    return next(linkage_trees(embeddings, [rows], [n_clusters], settings=settings))


def _strips(n: int, count: int) -> Iterator[tuple[int, int]]:
    """Cut the rows of an upper triangle into strips of about the same area."""
    cuts = n - n * np.sqrt(np.linspace(1, 0, count + 1))
    edges = np.unique(np.round(cuts).astype(int))
    return zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)


class _Clusterer:
    def __init__(self, threads: int, gpu: bool) -> None:
        torch.set_num_threads(threads)
        self.device = torch.device("cuda" if gpu else "cpu")

    def cluster(
        self,
        embeddings: NDArray[np.float32],
        classes: list[tuple[int, NDArray[np.int64], int]],
        linkage: Linkage,
    ) -> dict[int, Tree]:
        """Return the trees of some classes: label, images and fewest clusters of each."""
        labels, groups, counts = zip(*classes, strict=True)
        trees = linkage_trees(
            embeddings,
            groups,
            counts,
            method=linkage.method,
            backend=linkage.backend,
            settings=EngineSettings(device=self.device.type),
        )
        return dict(zip(labels, trees, strict=True))

    def near_pairs(
        self,
        factors: tuple[NDArray[np.float32], NDArray[np.float32]],
        limit: float,
        block: tuple[int, int],
        strip: tuple[int, int],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the near pairs of one strip of rows with all rows after them."""
        left, right = (torch.tensor(factor, device=self.device) for factor in factors)
        i: list[Tensor] = [torch.empty(0, dtype=torch.int64)]
        j = i.copy()
        for rows, columns in near_pairs(left, right, limit, block, strip):
            i.append(rows.cpu())
            j.append(columns.cpu())
        return torch.cat(i).numpy(), torch.cat(j).numpy()

"""Every class clustered on its own, in parallel Ray actors; a huge class spread over all of them.

Legend: N images, C classes, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Self

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.util import ActorPool
from torch import Tensor

from rayred.clustering.trees import ClassTrees, kept_images
from rayred.config import Linkage
from rayred.errors import ConfigError, DataError
from rayred.linkage import EngineSettings, Tree, linkage_trees, representatives
from rayred.linkage.cuml_backend import check_cuml, rapids_install
from rayred.linkage.pairs import even_strips, near_pairs
from rayred.linkage.representatives import representatives_on_gpu
from rayred.machines.connect import Scaling
from rayred.progress import progress_bar

RESTARTS = 3
"""Times that an actor that died is replaced, and its classes or its strip done again."""
TILED_ROWS = 50_000
"""Classes of so many images are spread over all actors, strip by strip."""
TASK_ROWS_BYTES = 2**28
"""Size of the embeddings that an actor is sent at a time, unless a single class has more."""
TASKS_AN_ACTOR = 4
"""Into how many parts an actor's share is cut, so that none waits long for the last."""


def check_backend(linkage: Linkage, scaling: Scaling) -> None:
    """See that the back end works on the actors of this cluster, before any work starts.

    Raises
    ------
    ConfigError
        It does not; the message says what to install or to choose.
    """
    if linkage.backend != "cuml":
        return
    if not scaling.gpu:
        raise ConfigError(
            "linkage.backend: 'cuml': there is no GPU for it; choose auto, or use a cluster with"
            f" GPUs (and not resources.device: cpu) and {rapids_install()}"
        )
    try:
        ray.get(ray.remote(check_cuml).options(num_gpus=1).remote())
    except ray.exceptions.RayTaskError as error:
        raise ConfigError(f"linkage.backend: 'cuml': {error.cause}") from error


class ClassActors:
    """Ray actors that work on single classes. They start when first needed.

    A context, whose end is theirs.
    """

    def __init__(
        self, embeddings_ND: NDArray[np.float32], linkage: Linkage, scaling: Scaling
    ) -> None:
        """Say what to work on, and with what.

        Parameters
        ----------
        embeddings_ND
            (N, D) embeddings of all images.
        linkage
            Method and back end.
        scaling
            Number of actors, and what each has.
        """
        self.embeddings = embeddings_ND
        self.linkage = linkage
        self._scaling = scaling

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self.__dict__.pop("_actors", []):
            ray.kill(actor)

    def each_class(
        self, method: str, classes: Sequence[tuple[Any, ...]], what: str
    ) -> dict[int, Any]:
        """Have a method of the actors called for every class.

        Parameters
        ----------
        method
            Takes the embeddings of some classes, one after another, and what is to be known of
            each; returns a value for each label.
        classes
            What the method needs to know of each class: first its label, then its images.
        what
            Name of the progress bar.

        Returns
        -------
        values
            By label.
        """
        tasks = len(classes)
        if self.linkage.backend != "cuml":
            tasks = min(
                tasks,
                max(
                    TASKS_AN_ACTOR * self._scaling.workers,
                    self.embeddings.nbytes // TASK_ROWS_BYTES,
                ),
            )
        parts = [list(classes[first::tasks]) for first in range(tasks)]

        def arguments(part: list[tuple[Any, ...]]) -> tuple[Any, ...]:
            return self.embeddings[np.concatenate([rows for _, rows, *_ in part])], part

        values: dict[int, Any] = {}
        with progress_bar(what, "class", len(classes)) as bar:
            for found in self._map(method, parts, arguments):
                values |= found
                bar.update(len(found))
        return values

    def near_pairs(
        self, left: Tensor, right: Tensor, limit: float, block: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Do what `rayred.linkage.pairs.near_pairs` does, each actor in strips of its own."""
        factors = ray.put((left.numpy(), right.numpy()))
        strips = even_strips(len(left), TASKS_AN_ACTOR * self._scaling.workers)
        found = self._map("near_pairs", strips, lambda strip: (factors, limit, block, strip))
        parts = []
        with progress_bar("near pairs", "strip", len(strips)) as bar:
            for part in found:
                parts.append(part)
                bar.update()
        i, j = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        return torch.from_numpy(i), torch.from_numpy(j)

    def _map(
        self, method: str, tasks: Sequence[Any], arguments: Callable[[Any], tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Yield what a method returns of each task, whose arguments are made when it starts."""
        if tasks:  # without any, no actor has to start
            yield from ActorPool(self._actors).map_unordered(
                lambda actor, task: getattr(actor, method).remote(*arguments(task)), tasks
            )

    @cached_property
    def _actors(self) -> list[ray.actor.ActorHandle]:
        actor = ray.remote(_ClassActor).options(
            num_cpus=self._scaling.threads,
            num_gpus=1 if self._scaling.gpu else 0,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        )
        settings = self._scaling.threads, self._scaling.gpu, self.linkage
        return [actor.remote(*settings) for _ in range(self._scaling.workers)]


def cluster_classes(
    actors: ClassActors,
    labels_N: NDArray[np.int64],
    fraction: float,
    tiled_rows: int = TILED_ROWS,
) -> ClassTrees:
    """Cluster each class down to the clusters of the smallest subset wanted.

    Parameters
    ----------
    actors
        Who does it, with which embeddings.
    labels_N
        (N,) classes.
    fraction
        The smallest fraction that the trees will be cut at.
    tiled_rows
        Images from which on a class is spread over all actors. The tree is the same.

    Raises
    ------
    DataError
        An embedding is not finite, or zero.
    """
    by_class = np.argsort(labels_N, kind="stable")
    members = np.split(by_class, np.cumsum(np.bincount(labels_N))[:-1])
    tiled = actors.linkage.method == "complete" and actors.linkage.backend != "scipy"
    classes = [
        (label, rows, kept_images(len(rows), fraction)) for label, rows in enumerate(members)
    ]
    huge = [tiled and len(rows) >= tiled_rows for rows in members]
    with _data_errors():
        small = [one for one, spread in zip(classes, huge, strict=True) if not spread]
        trees: dict[int, Tree] = actors.each_class("trees", small, "trees")
        settings = EngineSettings(device="cpu", find=actors.near_pairs, find_from=tiled_rows)
        for label, rows, count in classes:
            if huge[label]:
                found = linkage_trees(actors.embeddings, [rows], [count], settings=settings)
                trees[label] = next(found)
    return ClassTrees(tuple(members), tuple(trees[label] for label in range(len(members))))


def find_representatives(
    actors: ClassActors, trees: ClassTrees, fractions: Sequence[float]
) -> dict[float, NDArray[np.int64]]:
    """Return one image of every cluster of every class, at each fraction.

    Returns
    -------
    images
        For each fraction (n,) int64 ascending.

    Raises
    ------
    DataError
        An embedding is not finite, or zero.
    """
    classes = [
        (label, rows, tree, [kept_images(len(rows), fraction) for fraction in fractions])
        for label, (rows, tree) in enumerate(zip(trees.members, trees.trees, strict=True))
    ]
    with _data_errors():
        found = actors.each_class("representatives", classes if fractions else [], "images")
    return {
        fraction: np.sort(np.concatenate([found[label][place] for label, *_ in classes]))
        for place, fraction in enumerate(fractions)
    }


@contextmanager
def _data_errors() -> Iterator[None]:
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise DataError(f"the embeddings cannot be clustered: {error.cause}") from error
        raise
    except ValueError as error:
        raise DataError(f"the embeddings cannot be clustered: {error}") from error


class _ClassActor:
    def __init__(self, threads: int, gpu: bool, linkage: Linkage) -> None:
        torch.set_num_threads(threads)
        self.device = torch.device("cuda" if gpu else "cpu")
        self.linkage = linkage

    def trees(
        self,
        embeddings: NDArray[np.float32],
        classes: list[tuple[int, NDArray[np.int64], int]],
    ) -> dict[int, Tree]:
        """Return the trees of some classes: label, images and fewest clusters of each."""
        trees = linkage_trees(
            embeddings,
            _places(classes),
            [count for _, _, count in classes],
            method=self.linkage.method,
            backend=self.linkage.backend,
            settings=EngineSettings(device=self.device.type),
        )
        return dict(zip([label for label, *_ in classes], trees, strict=True))

    def representatives(
        self,
        embeddings: NDArray[np.float32],
        classes: list[tuple[int, NDArray[np.int64], Tree, list[int]]],
    ) -> dict[int, list[NDArray[np.int64]]]:
        """Return the kept images of some classes: label, images, tree, and numbers of clusters."""
        find = representatives_on_gpu if self.linkage.backend == "cuml" else representatives
        return {
            label: [rows[find(embeddings[place], tree.labels(count))] for count in counts]
            for place, (label, rows, tree, counts) in zip(_places(classes), classes, strict=True)
        }

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


def _places(classes: Sequence[tuple[Any, ...]]) -> list[NDArray[np.int64]]:
    """Return where the embeddings of each class lie when they are put one after another."""
    ends = np.cumsum([len(rows) for _, rows, *_ in classes])
    return np.split(np.arange(ends[-1]), ends[:-1])

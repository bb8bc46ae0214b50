"""A `map` over Ray actors, for the work on single classes and on parts of large ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any, Self

import ray
import torch
from ray.util import ActorPool

from rayred.config import Linkage
from rayred.errors import ConfigError
from rayred.linkage.cuml_backend import check_cuml, rapids_install
from rayred.machines.layout import Scaling

RESTARTS = 3
"""Times that an actor that died is replaced, and its task done again."""


def check_backend(linkage: Linkage, scaling: Scaling) -> None:
    """Check that the back end works on the actors of this cluster, before any work starts.

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


class RayMap:
    """Maps functions over tasks by Ray actors, which start when first needed.

    A context, at whose end the actors end.
    """

    def __init__(self, scaling: Scaling) -> None:
        """Take the number of actors, and the resources of each."""
        self.workers = scaling.workers
        self.device = "cuda" if scaling.gpu else "cpu"
        self._scaling = scaling

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self.__dict__.pop("_actors", []):
            ray.kill(actor)

    def __call__(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        """Yield what the function returns of each task, in the order in which they end.

        A task is taken from `tasks` when an actor is free for it; the function is sent to every
        node once.

        Raises
        ------
        ValueError
            The function has raised it.
        """
        function_ref = ray.put(function)
        pool: ActorPool | None = None
        try:
            for task in tasks:
                pool = pool or ActorPool(self._actors)
                if not pool.has_free():
                    yield pool.get_next_unordered()
                pool.submit(lambda actor, given: actor.call.remote(function_ref, given), task)
            while pool is not None and pool.has_next():
                yield pool.get_next_unordered()
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ValueError):
                raise error.cause from error
            raise

    @cached_property
    def _actors(self) -> list[ray.actor.ActorHandle]:
        actor = ray.remote(_Actor).options(
            num_cpus=self._scaling.threads,
            num_gpus=1 if self._scaling.gpu else 0,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        )
        return [actor.remote(self._scaling.threads) for _ in range(self.workers)]


class _Actor:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def call(self, function: Callable[[Any], Any], task: Any) -> Any:
        return function(task)

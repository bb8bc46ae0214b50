"""A `map` over Ray actors, for the work on single classes and on parts of large ones."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
REPORT_SECONDS = 5.0
"""Seconds between two reports of a task. Actors have started by then: most work has no report."""


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
        self._show: Callable[[str], None] | None = None
        self._asked: ray.ObjectRef[str] | None = None
        self._board_name = f"rayred-progress-{uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self.__dict__.pop("_actors", []):
            ray.kill(actor)
        if "_board" in self.__dict__:
            ray.kill(self.__dict__.pop("_board"))

    @contextmanager
    def reports(self, show: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
        """Give what tasks call with a text, which `show` is then called with here.

        It is called while this process waits for results, with the last text of any task at work;
        a task ends its reports by an empty text. Work of less than `REPORT_SECONDS` shows none.
        """
        self._show, self._asked = show, None
        try:
            yield _Report(self._board_name)
        finally:
            self._show = None

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
                    yield self._next_result(pool)
                pool.submit(lambda actor, given: actor.call.remote(function_ref, given), task)
            while pool is not None and pool.has_next():
                yield self._next_result(pool)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ValueError):
                raise error.cause from error
            raise

    def _next_result(self, pool: ActorPool) -> Any:
        """Wait for a result, and show what tasks report meanwhile."""
        while self._show is not None:
            try:
                return pool.get_next_unordered(timeout=REPORT_SECONDS)
            except TimeoutError as error:
                if isinstance(error, ray.exceptions.RayError):  # which a task has raised
                    raise
                self._show_report(self._show)
        return pool.get_next_unordered()

    def _show_report(self, show: Callable[[str], None]) -> None:
        """Show the text asked for at the last call, if it has come, and ask for the next."""
        if self._asked is not None:
            answered, _ = ray.wait([self._asked], timeout=0)
            if not answered:
                return
            try:
                show(ray.get(self._asked))
            except ray.exceptions.RayError:  # lost with its node: there are no reports then
                return
        self._asked = self._board.last.remote()

    @cached_property
    def _board(self) -> ray.actor.ActorHandle:
        """The actor that tasks send reports to, from the first wait on that takes long."""
        board = ray.remote(_Board).options(num_cpus=0, name=self._board_name)
        return board.remote()

    @cached_property
    def _actors(self) -> list[ray.actor.ActorHandle]:
        actor = ray.remote(_Actor).options(
            num_cpus=self._scaling.threads,
            num_gpus=1 if self._scaling.gpu else 0,
            max_restarts=RESTARTS,
            max_task_retries=RESTARTS,
        )
        return [actor.remote(self._scaling.threads) for _ in range(self.workers)]


class _Board:
    """Holds the last report of every task at work."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def tell(self, task: str, text: str) -> None:
        self._texts.pop(task, None)
        if text:
            self._texts[task] = text

    def last(self) -> str:
        return next(reversed(self._texts.values()), "")


class _Report:
    """Sends a text to the board, once there is one and not too often."""

    def __init__(self, board_name: str) -> None:
        self._board_name = board_name
        self._next = 0.0

    def __call__(self, text: str) -> None:
        if text and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + REPORT_SECONDS
        try:
            board = ray.get_actor(self._board_name)
        except (ValueError, ray.exceptions.RayError):  # no such actor, or it cannot be asked for
            return
        board.tell.remote(ray.get_runtime_context().get_actor_id(), text)


class _Actor:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def call(self, function: Callable[[Any], Any], task: Any) -> Any:
        return function(task)

"""A `map` over Ray actors, for the work on single classes and on parts of large ones."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, Self

import ray

from rayred.config import Linkage
from rayred.errors import ConfigError
from rayred.linkage.cuml_backend import check_cuml, rapids_install
from rayred.machines.crew import Crew
from rayred.machines.layout import Scaling
from rayred.machines.scaling import nodes_watched

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

    There are as many as the cluster has room for, also on nodes that join later. A context, at
    whose end the actors end.
    """

    def __init__(self, scaling: Scaling) -> None:
        """Take the resources of each actor, and how many there is room for at first."""
        self.workers = scaling.workers
        self.device = "cuda" if scaling.gpu else "cpu"
        self._crew = Crew(scaling)
        self._open = ExitStack()
        self._show: Callable[[str], None] | None = None
        self._asked: ray.ObjectRef[str] | None = None
        self._board_name = f"rayred-progress-{uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        self._open.enter_context(nodes_watched(self._consequence))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        self._crew.end()
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

        A task is taken from `tasks` when an actor is free for it, and one more; the function is
        sent to every node once.

        Raises
        ------
        ValueError
            The function has raised it.
        """
        try:
            yield from self._crew.work(function, tasks, REPORT_SECONDS, self._show_report)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ValueError):
                raise error.cause from error
            raise

    def _consequence(self) -> str:
        count = self._crew.taken_restarts()
        if not count:
            return ""
        return "what was clustered there is clustered again elsewhere"

    def _show_report(self) -> None:
        """Show the text asked for at the last call, if it has come, and ask for the next."""
        if self._show is None:
            return
        if self._asked is not None:
            answered, _ = ray.wait([self._asked], timeout=0)
            if not answered:
                return
            try:
                self._show(ray.get(self._asked))
            except ray.exceptions.RayError:  # lost with its node: there are no reports then
                return
        self._asked = self._board.last.remote()

    @cached_property
    def _board(self) -> ray.actor.ActorHandle:
        """The actor that tasks send reports to, from the first wait on that takes long."""
        board = ray.remote(_Board).options(num_cpus=0, name=self._board_name)
        return board.remote()


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

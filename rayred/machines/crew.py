"""Actors that do tasks, as many as the cluster has room for: they join and leave with its nodes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayTaskError

from rayred.machines.connect import describe_cluster
from rayred.machines.layout import Scaling

MOST_LOSSES = 3
"""Times that a task is done again after its actor died."""
GROW_SECONDS = 5.0
"""Seconds between two looks at whether the cluster has grown."""


@dataclass
class _Task:
    """A task that was taken, and how often its actor has died."""

    given: Any
    losses: int = 0


class Crew:
    """Actors of one kind, which are started when they are first needed."""

    def __init__(self, scaling: Scaling) -> None:
        """Take the resources of each actor; their number follows the cluster."""
        self._scaling = scaling
        self._idle: list[ray.actor.ActorHandle] = []
        self._starting: dict[ray.ObjectRef[None], ray.actor.ActorHandle] = {}
        self._busy: dict[ray.ObjectRef[Any], tuple[ray.actor.ActorHandle, _Task]] = {}
        self._failed_starts = 0
        self._next_look = 0.0
        self._restarts = 0

    def end(self) -> None:
        """End all actors, also those at work."""
        at_work = [actor for actor, _ in self._busy.values()]
        for actor in [*self._idle, *self._starting.values(), *at_work]:
            ray.kill(actor)
        self._idle, self._starting, self._busy = [], {}, {}

    def taken_restarts(self) -> int:
        """Return how many tasks were started again since this was last asked."""
        count, self._restarts = self._restarts, 0
        return count

    def work(
        self,
        function: Callable[[Any], Any],
        tasks: Iterable[Any],
        seconds: float,
        meanwhile: Callable[[], None],
    ) -> Iterator[Any]:
        """Yield what the function returns of each task, in the order in which they end.

        A task is taken when an actor is free for it, and one more. It is done again where its
        actor dies. The function is sent to every node once.

        Parameters
        ----------
        function, tasks
            The work.
        seconds, meanwhile
            What is called while results are waited for, and after how long.

        Raises
        ------
        ray.exceptions.RayTaskError
            The function has raised an error.
        ray.exceptions.RayActorError
            A task has lost its actor more than `MOST_LOSSES` times, or no actor can be started.
        """
        function_ref, left, waiting = ray.put(function), iter(tasks), deque[_Task]()
        try:
            while True:
                self._hand_out(function_ref, waiting, left)
                if not waiting and not self._busy:
                    return
                self._grow()
                done, _ = ray.wait([*self._starting, *self._busy], timeout=seconds)
                if not done:
                    meanwhile()
                for ref in done:
                    if ref in self._starting:
                        self._welcome(ref)
                        continue
                    actor, task = self._busy.pop(ref)
                    try:
                        result = ray.get(ref)
                    except RayActorError:
                        task.losses += 1
                        if task.losses > MOST_LOSSES:
                            raise
                        self._restarts += 1
                        waiting.append(task)
                    except RayTaskError:
                        self._idle.append(actor)
                        raise
                    else:
                        self._idle.append(actor)
                        yield result
        finally:
            self._drop_busy()

    def _hand_out(
        self, function_ref: ray.ObjectRef[Any], waiting: deque[_Task], left: Iterator[Any]
    ) -> None:
        """Give tasks to idle actors; one that is taken already may be left to wait."""
        while True:
            if not waiting:
                waiting.extend(_Task(given) for given in islice(left, 1))
            if not waiting or not self._idle:
                return
            actor, task = self._idle.pop(), waiting.popleft()
            self._busy[actor.call.remote(function_ref, task.given)] = actor, task

    def _grow(self) -> None:
        """Start actors where there is room for more."""
        everyone = len(self._idle) + len(self._starting) + len(self._busy)
        if everyone and time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + GROW_SECONDS
        room = describe_cluster().slots(self._scaling.threads, self._scaling.gpu)
        options = ray.remote(_Actor).options(
            num_cpus=self._scaling.threads, num_gpus=1 if self._scaling.gpu else 0
        )
        for _ in range(max(room, 1) - everyone):
            actor = options.remote(self._scaling.threads)
            self._starting[actor.ready.remote()] = actor

    def _welcome(self, ref: ray.ObjectRef[None]) -> None:
        actor = self._starting.pop(ref)
        try:
            ray.get(ref)
        except RayActorError:
            self._failed_starts += 1
            if self._failed_starts > MOST_LOSSES:
                raise
            return
        self._failed_starts = 0
        self._idle.append(actor)

    def _drop_busy(self) -> None:
        """End the actors whose results nobody waits for any more."""
        for actor, _ in self._busy.values():
            ray.kill(actor)
        self._busy = {}


class _Actor:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def ready(self) -> None:
        """Return when the actor has started."""

    def call(self, function: Callable[[Any], Any], task: Any) -> Any:
        return function(task)

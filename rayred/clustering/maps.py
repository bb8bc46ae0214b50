"""What runs the work on single classes: the built-in `map`, or one that runs it elsewhere."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar, runtime_checkable

TASKS_A_WORKER = 4
"""Tasks that a worker's share is cut into, so that no worker waits long for the last."""

A = TypeVar("A")
B = TypeVar("B")
Map = Callable[[Callable[[A], B], Iterable[A]], Iterable[B]]
"""Calls a function on every task and returns the results in any order, as the built-in `map`."""
Report = Callable[[str], None]
"""Takes a text that says how far a task has come; an empty one when it has ended."""


@runtime_checkable
class ReportingMap(Protocol):
    """A map whose tasks can say how far they have come, wherever they run."""

    def reports(self, show: Report) -> AbstractContextManager[Report]:
        """Give what tasks call with a text, which `show` is then called with here."""


def reports_of(map: Map[Any, Any], show: Report) -> AbstractContextManager[Report | None]:
    """Return a context that gives what tasks of a map call to have a text shown, if they can."""
    if isinstance(map, ReportingMap):
        return map.reports(show)
    return nullcontext(show if map is builtins.map else None)

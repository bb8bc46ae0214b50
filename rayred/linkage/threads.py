"""Groups worked on side by side, each by its own threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

ITEMS_A_THREAD = 4
"""Fewest items for each thread: while the last ones are worked on, others have nothing to do."""

FEWEST_ENTRIES = 2**17
"""Numbers in the rows of a group from which on groups are worked on side by side.

Work on fewer is a chain of short steps, at each of which threads of Python wait for each other.
"""

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(
    work: Callable[[Item], Result], items: Sequence[Item], device: torch.device, entries: float
) -> list[Result]:
    """Return the results of some work on every item, in their order.

    On a CPU, several items are worked on at a time if their groups are large, and share the threads
    that torch may use here: torch would share every small step among them, which takes longer. If
    the groups are small, one thread works on all items.

    Parameters
    ----------
    work
        Called with one item, in any order, in this thread or others.
    items
        The items.
    device
        Where the work computes.
    entries
        Numbers in the rows of a group, on average.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(items) // ITEMS_A_THREAD)
    if workers < 2 or device.type == "cuda":
        return [work(item) for item in items]
    try:
        if entries < FEWEST_ENTRIES:
            torch.set_num_threads(1)
            return [work(item) for item in items]
        # Each thread has a number of its own.
        with ThreadPoolExecutor(
            workers, "rayred", torch.set_num_threads, (threads // workers,)
        ) as pool:
            return list(pool.map(work, items))
    finally:
        torch.set_num_threads(threads)  # that of threads which start later

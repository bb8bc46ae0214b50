"""A live line on a terminal; nothing where the output is a file or a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@contextmanager
def progress_bar(what: str, unit: str, total: int, done: int = 0) -> Iterator[Any]:
    """Show a bar with its rate and the time left for as long as the context lasts.

    Log lines appear above it.

    Parameters
    ----------
    what
        Name of the work.
    unit
        What is counted.
    total, done
        Units of the whole work, and those that an earlier run has done.
    """
    with (
        logging_redirect_tqdm(),
        tqdm(
            desc=what,
            unit=unit,
            total=total,
            initial=done,
            disable=None,
            leave=False,
            dynamic_ncols=True,
        ) as bar,
    ):
        yield bar

"""Progress of long work: a bar on a terminal, nothing where standard error is a file or a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@contextmanager
def progress_bar(what: str, unit: str, total: int, done: int = 0) -> Iterator[Any]:
    """Show a progress bar with rate and time left while the context lasts.

    Log lines are printed above the bar.

    Parameters
    ----------
    what
        Name of the work, printed before the bar.
    unit
        Name of one unit of work, for example ``trial``.
    total
        Number of units of the whole work.
    done
        Number of units that an earlier run has done already.

    Yields
    ------
    bar
        A `tqdm.tqdm`; call ``bar.update(n)`` after n more units.
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

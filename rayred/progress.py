"""Progress of long work: a bar where it is watched, elsewhere a line in the log twice a minute."""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tqdm import TqdmWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # notebooks without ipywidgets show text
    from tqdm.auto import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger(__name__)

LINE_SECONDS = 30.0
"""Seconds between two lines in the log; shorter work has none."""


class Progress(Protocol):
    """What shows how far some work has come."""

    n: int
    """Units that are done."""

    def update(self, n: int = 1) -> Any:
        """Count n more units as done."""

    def set_postfix_str(self, s: str) -> Any:
        """Set what is shown after the counts."""


@contextmanager
def progress_bar(what: str, unit: str, total: int, done: int = 0) -> Iterator[Progress]:
    """Show how far some work has come, its rate and the time left, while the context lasts.

    On a terminal that is a bar, above which log lines are printed; in a notebook a widget, or a bar
    of text if ipywidgets is not installed. Where standard error is a file or a pipe, it is a line
    in the log every `LINE_SECONDS`, also while nothing gets done.

    Parameters
    ----------
    what
        Name of the work, printed first.
    unit
        Name of one unit of work, for example ``trial``.
    total
        Number of units of the whole work.
    done
        Number of units that an earlier run has done already.

    Yields
    ------
    bar
        Call ``bar.update(n)`` after n more units.
    """
    if _is_watched():
        with (
            logging_redirect_tqdm(),
            tqdm(
                desc=what, unit=unit, total=total, initial=done, leave=False, dynamic_ncols=True
            ) as bar,
        ):
            yield bar
        return
    lines = _Lines(what, unit, total, done)
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(LINE_SECONDS):
            logger.info("%s", lines)

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        ended.set()
        thread.join()


def _is_watched() -> bool:
    """Return whether standard error is a terminal or a notebook, which shows it at once."""
    return sys.stderr.isatty() or type(sys.stderr).__module__ == "ipykernel.iostream"


class _Lines:
    """The progress of some work as text.

    >>> lines = _Lines("sweep", "trial", total=31, done=2)
    >>> lines.update(4)
    >>> lines.at(seconds=120)
    'sweep: 6 of 31 trials, 2 a minute, 12 min left'
    """

    def __init__(self, what: str, unit: str, total: int, done: int) -> None:
        self.what = what
        self.unit = f"{unit}es" if unit.endswith("s") else f"{unit}s"
        self.total = total
        self.before = done
        self.n = done
        self.postfix = ""
        self.started = time.monotonic()

    def update(self, n: int = 1) -> None:
        self.n += n

    def set_postfix_str(self, s: str) -> None:
        self.postfix = s

    def __str__(self) -> str:
        return self.at(time.monotonic() - self.started)

    def at(self, seconds: float) -> str:
        """Return the line after so many seconds."""
        parts = [f"{self.what}: {self.n:,} of {self.total:,} {self.unit}"]
        made = self.n - self.before
        if made > 0:
            left = (self.total - self.n) * seconds / made
            parts += [_rate(made / seconds), f"{_time(left)} left"]
        return ", ".join([*parts, self.postfix] if self.postfix else parts)


def _rate(a_second: float) -> str:
    if a_second >= 1:
        return f"{a_second:,.3g} a second" if a_second < 1000 else f"{a_second:,.0f} a second"
    if a_second >= 1 / 60:
        return f"{60 * a_second:.3g} a minute"
    return f"{3600 * a_second:.3g} an hour"


def _time(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"

"""Checks of embeddings and labels as a whole, before the classes are cut apart.

So a message names the row of the array that was passed in, not that of a class or a task.

Legend: N rows, D embedding dimensions, C classes.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rayred.linkage.rows import ALL_ZERO, NOT_FINITE, unusable_rows

ZeroRows = Literal["refuse", "apart"]


def check_rows(
    x: NDArray[Any],
    labels: ArrayLike,
    classes: Sequence[str] | None = None,
    rows: NDArray[np.int64] | None = None,
    zero_rows: ZeroRows = "refuse",
) -> None:
    """Check that each row has a cosine distance to the others.

    Parameters
    ----------
    x
        (N, D) real numbers, for example a memory map, which is read in blocks and not copied.
    labels
        (N,) the class of every row, named in the message.
    classes
        Names of the classes, where the labels are their numbers.
    rows
        (N,) numbers of the rows for the message, where they are not 0 to N − 1.
    zero_rows
        ``refuse`` rows that are all zero, or leave them to `with_directions`.

    Raises
    ------
    ValueError
        A row has a value that is NaN or infinite, or is all zero where that is refused; the message
        names the first such row and its class, and says how many there are.
    """
    not_finite, zero = unusable_rows(x)
    bad = np.sort(np.concatenate([not_finite, zero])) if zero_rows == "refuse" else not_finite
    if not len(bad):
        return
    row = int(bad[0])
    label = np.asarray(labels)[row]
    name = label if classes is None else classes[label]
    shown = repr(str(name)) if isinstance(name, str) else str(name)
    problem = NOT_FINITE if row in not_finite else ALL_ZERO
    others = "" if len(bad) == 1 else f", the first of {len(bad):,} rows that cannot be used"
    number = row if rows is None else rows[row]
    raise ValueError(f"row {number} {problem} (class {shown}){others}")


def with_directions(x: NDArray[Any]) -> NDArray[Any]:
    """Return rows that all have a direction: (N, D), or (N, D + 1) if some of them are all zero.

    In the column that is added, those rows alone are not 0. So they are equal to each other and
    orthogonal to all others, whose distances stay the same.
    """
    zero: NDArray[np.bool_] = ~np.any(x, axis=1)
    if not zero.any():
        return x
    column = zero[:, np.newaxis].astype(x.dtype)
    return np.concatenate([x, column], axis=1)


def check_fractions(fractions: Sequence[float]) -> None:
    """Raise ValueError unless all are shares of a class to keep: numbers in (0, 1]."""
    for fraction in fractions:
        if not isinstance(fraction, numbers.Real) or not 0 < fraction <= 1:
            raise ValueError(f"fraction is {fraction!r}; expected a number in (0, 1]")

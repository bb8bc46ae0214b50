"""What selectors compare images by: directions of embeddings, and values with their ties.

Legend: n images of one class, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIE = 1e-9
"""Cosines, squared distances and sums of them count as equal if they differ by no more than this:
far above what float64 rounds, so that processors which round otherwise choose the same images."""


def directions(x: NDArray[Any]) -> NDArray[np.float64]:
    """Return rows of length 1, (n, D) float64, or (n, D + 1) if some are all zero.

    Rows that are all zero become equal to each other and orthogonal to all others.
    """
    # Imported here: reading a study's subsets loads no torch.
    from rayred.clustering.checks import with_directions
    from rayred.linkage.rows import as_unit_rows

    return as_unit_rows(with_directions(x))


def by_directions(
    choose: Callable[[NDArray[np.float64], int], NDArray[np.int64]],
    x: NDArray[Any],
    count: int,
    rng: np.random.Generator,  # noqa: ARG001 - nothing here is random
) -> NDArray[np.int64]:
    """Return what a function chooses of the directions of (n, D) embeddings.

    With its first argument bound, it is what `Candidates.choose` takes.
    """
    return choose(directions(x), count)


def first_best(values: NDArray[np.float64]) -> int:
    """Return the lowest place whose value is the largest, by `TIE`."""
    return int(np.argmax(values >= values.max() - TIE))


def ranked(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return all places by descending value rounded to multiples of `TIE`, equal ones ascending."""
    return np.argsort(-np.round(values / TIE), kind="stable")

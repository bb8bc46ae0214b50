"""Facility location: images that leave every image of the class with a similar one among them.

Source: Wei et al. 2015, "Submodularity in data subset selection and active learning"; Mirzasoleiman
et al. 2020, arXiv 1906.01827 (CRAIG). Greedy by lazy evaluation (Minoux 1978). The objective is
monotone and submodular, so the result has at least 1 − 1/e of its largest value.

Legend: n images of one class, D embedding dimensions, B of them looked at together.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates
from rayred.selection.space import TIE, by_directions, first_best

BLOCK = 16
"""B, the images of which similarities to all others are computed, and held, at a time."""


def select_facility_location(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return images that stand for all others of every class, (m,) int64 ascending."""
    return candidates.choose(partial(by_directions, cover), fraction, rng)


def cover(x: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return rows in the order of their choice, (count,) int64.

    Each is the one that adds most to Σᵢ maxⱼ (1 + cos(xᵢ, xⱼ)), j over the chosen. Where none adds
    anything, the lowest rows that are left follow.

    Parameters
    ----------
    x
        (n, D) rows of length 1.
    count
        How many to choose, at most n.
    """
    chosen: list[int] = []
    covered = np.zeros(len(x))
    # What a row would add never grows, so that an earlier value bounds it from above.
    bounds = np.full(len(x), np.inf)
    while len(chosen) < count:
        best = _best(x, covered, bounds)
        if bounds[best] <= TIE:
            break
        chosen.append(best)
        np.maximum(covered, 1 + x @ x[best], out=covered)
        bounds[best] = -np.inf
    left = np.setdiff1d(np.arange(len(x)), chosen)
    return np.array([*chosen, *left[: count - len(chosen)]], dtype=np.int64)


def _best(x: NDArray[np.float64], covered: NDArray[np.float64], bounds: NDArray[np.float64]) -> int:
    """Return the row that adds most, and lower the bounds of the rows looked at to what they add.

    Parameters
    ----------
    x
        (n, D) rows of length 1.
    covered
        (n,) the largest similarity of each row to the chosen ones.
    bounds
        (n,) at least what each row adds; −∞ for the chosen ones.
    """
    current = np.full(len(x), -np.inf)
    others = bounds.copy()
    while others.max() > -np.inf and others.max() >= current.max() - TIE:
        block = np.argpartition(-others, min(BLOCK, len(x)) - 1)[:BLOCK]
        block = block[others[block] > -np.inf]
        added = np.maximum(1 + x[block] @ x.T - covered, 0).sum(axis=1)
        bounds[block] = current[block] = added
        others[block] = -np.inf
    return first_best(current)

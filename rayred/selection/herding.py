"""Herding: images whose mean stays as close as possible to the mean of their class.

Source: Welling 2009, "Herding dynamical weights to learn"; chosen without repetition as in iCaRL
(Rebuffi et al. 2017, arXiv 1611.07725, algorithm 4).

Legend: n images of one class, D embedding dimensions.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates
from rayred.selection.space import by_directions, first_best


def select_herding(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return images of every class with nearly the mean of the class, (m,) int64 ascending."""
    return candidates.choose(partial(by_directions, herd), fraction, rng)


def herd(x: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return rows in the order of their choice, (count,) int64.

    Each is the one with which the mean of the chosen is closest to the mean of all. Of rows of
    length 1 that is the one with the largest product with what the sum of the chosen lacks, so that
    the rules of both sources are the same.

    Parameters
    ----------
    x
        (n, D) rows of length 1.
    count
        How many to choose, at most n.
    """
    chosen = np.empty(count, dtype=np.int64)
    mean = x.mean(axis=0)
    lacking = np.zeros_like(mean)
    left = np.zeros(len(x))
    for place in range(count):
        lacking += mean
        chosen[place] = first_best(x @ lacking + left)
        lacking -= x[chosen[place]]
        left[chosen[place]] = -np.inf
    return chosen

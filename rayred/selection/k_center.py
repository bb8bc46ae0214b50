"""k-center: the image farthest from all those chosen before it, again and again.

Source: Sener and Savarese 2018, arXiv 1708.00489, algorithm 1 (k-Center-Greedy). The largest
distance of an image to its closest chosen one is at most twice the smallest that any choice of as
many images has (Gonzalez 1985).

Legend: n images of one class, D embedding dimensions.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates
from rayred.selection.space import by_directions, first_best


def select_k_center(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return images of every class that leave none of it far away, (m,) int64 ascending."""
    return candidates.choose(partial(by_directions, farthest_first), fraction, rng)


def farthest_first(x: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return rows in the order of their choice, (count,) int64.

    The first is the one closest to the mean, each other one the farthest from those before it, by
    the Euclidean distance.

    Parameters
    ----------
    x
        (n, D) rows of length 1.
    count
        How many to choose, at most n.
    """
    chosen = np.empty(count, dtype=np.int64)
    # Of rows of length 1, the closest to any point is the one with the largest product with it.
    chosen[0] = first_best(x @ x.mean(axis=0))
    squares = np.full(len(x), np.inf)
    for place in range(1, count):
        last = chosen[place - 1]
        np.minimum(squares, 2 - 2 * (x @ x[last]), out=squares)
        squares[last] = -np.inf
        chosen[place] = first_best(squares)
    return chosen

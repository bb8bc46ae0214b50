"""D2 pruning: difficult images, each of which makes those similar to it less wanted.

Source: Maharana et al. 2024, arXiv 2310.07931, section 3 (equations of forward and reverse message
passing), with EL2N as the difficulty.

Legend: n images of one class, D embedding dimensions, K neighbours of each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates
from rayred.selection.space import directions

NEIGHBOURS = 10
"""K; the paper tunes it from 1 to 15."""
FORWARD = 1.0
"""γ_f, by which messages to an image fade with the squared distance; the paper's value."""
REVERSE = 1.0
"""γ_r, by which messages of a kept image fade with the squared distance; the paper tunes it."""


def select_d2(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return difficult and diverse images of every class, (m,) int64 ascending."""
    return candidates.choose(_choose, fraction, rng, scores="el2n")


def _choose(
    x: NDArray[Any],
    count: int,
    rng: np.random.Generator,  # noqa: ARG001 - nothing here is random
    scores: NDArray[np.float64],
) -> NDArray[np.int64]:
    neighbours, squares = nearest(directions(x))
    return pass_messages(scores, neighbours, squares, count)


def nearest(x: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest others of every row.

    Parameters
    ----------
    x
        (n, D) rows of length 1, at least two.

    Returns
    -------
    neighbours
        (n, K) int64.
    squares
        (n, K) squared Euclidean distances to them.
    """
    from sklearn.neighbors import NearestNeighbors

    graph = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(x) - 1), algorithm="brute").fit(x)
    distances, neighbours = graph.kneighbors()
    return neighbours.astype(np.int64), np.square(distances)


def pass_messages(
    scores: NDArray[np.float64],
    neighbours: NDArray[np.int64],
    squares: NDArray[np.float64],
    count: int,
) -> NDArray[np.int64]:
    """Return images in the order of their choice, (count,) int64; ties by the lowest row.

    Forward, each image adds to its score those of its neighbours. Then, again and again, the image
    with the highest value is kept, and its value is taken off those of its neighbours; both are
    weighted by exp(−γ d²).

    Parameters
    ----------
    scores
        (n,) difficulties.
    neighbours, squares
        What `nearest` returns.
    count
        How many to choose, at most n.
    """
    values = scores + (np.exp(-FORWARD * squares) * scores[neighbours]).sum(axis=1)
    fading = np.exp(-REVERSE * squares)
    taken = np.zeros(len(values), dtype=bool)
    chosen = np.empty(count, dtype=np.int64)
    for place in range(count):
        best = int(np.argmax(np.where(taken, -np.inf, values)))
        chosen[place], taken[best] = best, True
        values[neighbours[best]] -= fading[best] * values[best]
    return chosen

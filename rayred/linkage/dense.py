"""Merges from all pairs at once, by SciPy: for graphs that have most of their pairs.

SciPy is given the rank of every pair by (d, i, j) in place of its distance. Complete linkage only
compares distances, so that the tree of the ranks is the tree of the distances, with ties in the
order of the engine.

Legend: R rows, D dimensions, K clusters, P = R (R − 1) / 2 pairs, in the order of SciPy's `pdist`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from torch import Tensor

from rayred.linkage.pairs import pair_distances

BYTES_A_PAIR = 40
"""The most memory that `dense_merges` takes for each pair of rows."""
STRIP_ENTRIES = 2**21
"""About the number of entries of a product in memory at a time."""
FLOAT64_ROUNDING = 2.0**-53
"""Largest relative error of one rounding to float64."""
FLOAT64_UNDERFLOW = 2.0**-1022
"""Largest error of one operation whose result is below float64's range, also if it becomes 0."""


def dense_merges(unit_RD: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return all merges of rows, by ascending height.

    Parameters
    ----------
    unit_RD
        (R, D) float64 rows of length 1, all different, R ≥ 2.

    Returns
    -------
    pairs
        (R − 1, 2) the lowest row of each of the two clusters, the lower one first.
    heights
        (R − 1,) their distances.
    """
    unit_RD = unit_RD.cpu()
    order_P = _order_of_pairs(unit_RD)
    ranks_P = np.empty(len(order_P))
    ranks_P[order_P] = np.arange(len(order_P))
    pairs, ranks = merges_of_ranks(ranks_P, len(unit_RD))
    return pairs, _measured(unit_RD, order_P[ranks])


def merges_of_ranks(
    ranks: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the merges of K clusters by the ranks of their pairs.

    Parameters
    ----------
    ranks
        (K (K − 1) / 2,) ranks of all pairs, in the order of SciPy's `pdist`.
    n
        K.

    Returns
    -------
    pairs
        (K − 1, 2) the lowest of the clusters that each of the two merged is made of, ascending.
    ranks
        (K − 1,) ascending.
    """
    tree = linkage(ranks, "complete")
    lowest = list(range(n))
    pairs = np.empty((n - 1, 2), np.int64)
    for merge, (one, other) in enumerate(tree[:, :2].astype(np.int64).tolist()):
        pairs[merge] = sorted((lowest[one], lowest[other]))
        lowest.append(min(lowest[one], lowest[other]))
    return pairs, tree[:, 2].astype(np.int64)


def _order_of_pairs(unit_RD: Tensor) -> NDArray[np.int64]:
    """Return all pairs by ascending (d, i, j), (P,).

    Distances are first computed by a product of float64 matrices. Those that its rounding error
    cannot tell apart are then measured as the engine measures them.
    """
    estimates_P, slack = _estimates(unit_RD)
    order_P = _ascending(estimates_P)
    estimates_P = estimates_P[order_P]
    unsure_P = np.zeros(len(order_P), dtype=bool)
    unsure_P[1:] = np.diff(estimates_P) <= 2 * slack
    unsure_P[:-1] |= unsure_P[1:]
    del estimates_P
    places = np.sort(order_P[unsure_P])
    order_P[unsure_P] = places[_ascending(_measured(unit_RD, places))]
    return order_P


def _estimates(unit_RD: Tensor) -> tuple[NDArray[np.float64], float]:
    """Return the distances of all pairs by a product, (P,) of 0 and more, and their largest error.

    See `rayred.linkage.pairs.cluster_factors`, whose bound this is for float64.
    """
    n, d = unit_RD.shape
    y_RD = unit_RD - unit_RD.mean(0)
    q_R = y_RD.square().sum(1) / 2
    distances_P = np.empty(n * (n - 1) // 2)
    height = max(1, STRIP_ENTRIES // n)
    end = 0
    for first in range(0, n - 1, height):
        strip = q_R[first : first + height, None] + q_R[first:]
        strip -= y_RD[first : first + height] @ y_RD[first:].T
        for row, values in enumerate(strip.clamp_(min=0).numpy()[: n - 1 - first]):
            begin, end = end, end + n - 1 - first - row
            distances_P[begin:end] = values[row + 1 :]
    slack = (d + 8) * (FLOAT64_ROUNDING * 4 * float(q_R.max()) + FLOAT64_UNDERFLOW)
    return distances_P, slack


def _measured(unit_RD: Tensor, places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the distances of some pairs, given by their places among all P."""
    n = len(unit_RD)
    rows = np.arange(n)
    firsts_R = rows * (2 * n - rows - 1) // 2  # the place of the pair of each row and the next
    i = np.searchsorted(firsts_R, places, side="right") - 1
    j = places - firsts_R[i] + i + 1
    return pair_distances(unit_RD, torch.from_numpy(i), torch.from_numpy(j)).numpy()


def _ascending(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the stable order of numbers of 0 and more."""
    if not len(values):
        return np.empty(0, np.int64)
    # Non-negative floats are in the order of their bits as integers. The leading bits that differ
    # and the place are sorted as one integer, which takes much less time than sorting places.
    bits = values.view(np.int64)
    least = bits.min()
    width = len(bits).bit_length()
    left_out = max(0, int(bits.max() - least).bit_length() + width - 63)
    joined = bits - least
    joined >>= left_out
    joined <<= width
    joined |= np.arange(len(bits))
    joined.sort()
    order: NDArray[np.int64] = joined & ((1 << width) - 1)
    bits = bits[order]
    descends = (bits[1:] < bits[:-1]).nonzero()[0]
    joined >>= width
    # Where the bits left out decide, all that have the same leading bits are sorted by all bits.
    for leading in np.unique(joined[descends]):
        first, end = np.searchsorted(joined, [leading, leading + 1])
        order[first:end] = order[first:end][bits[first:end].argsort(kind="stable")]
    return order

"""How far a stage looks: the distance up to which about as many pairs are near as merges need.

Legend: K clusters, D dimensions.
"""

from __future__ import annotations

from torch import Tensor, float64, linspace

FIRST_DENSITY = 130.0
"""Near rows per row wanted in the first stage: this × (share of the rows to merge)², at least 2.

Measured: merging a tenth takes 0.25 near rows in uniform data and 1 in clustered data, merging half
takes 5 to 19. Where all rows lie close together it takes far more, which the first stage shows.
"""
PAIRS_A_STAGE = 2**23
"""About the number of pairs of clusters that a stage looks for in a group; bounds its memory."""
SAMPLED_ROWS = 64
"""Number of rows whose distances to all others estimate which t gives how many near rows."""
SAMPLED_PAIRS = 2**24
"""Largest number of distances in that estimate."""
LARGEST_GROWTH = 256.0
"""Most times as many near clusters as in the last stage."""
ABOVE_ALL = 4.0
"""A threshold above every cosine distance, which are 0 to 2."""


def first_degree(rows: int, merges: float) -> float:
    """Return the mean number of near rows per row wanted for the first merges of some rows."""
    return max(2.0, FIRST_DENSITY * (merges / rows) ** 2)


def degree_growth(before: int, done: int, left: int) -> float:
    """Return how many times as many near clusters are wanted in the next stage.

    As in the first stage: by the square of the share of the clusters still to be merged.

    Parameters
    ----------
    before
        Number of clusters before the last stage.
    done
        Merges of that stage.
    left
        Merges still wanted.
    """
    growth = (left / (before - done) * before / max(done, 1)) ** 2
    return min(1.5 * growth, LARGEST_GROWTH)


def next_threshold(left_KD: Tensor, right_KD: Tensor, last: float, degree: float) -> float:
    """Return a distance above the last threshold, or above all distances.

    Parameters
    ----------
    left_KD, right_KD
        Float32 factors of `rayred.linkage.pairs.cluster_factors`.
    last
        The last threshold; negative before the first.
    degree
        Mean number of new near clusters per cluster wanted.
    """
    k = len(left_KD)
    sampled = max(1, min(k, SAMPLED_ROWS, SAMPLED_PAIRS // k))
    sample = linspace(0, k - 1, sampled, dtype=float64, device=left_KD.device).long()
    distances = -(left_KD[sample] @ right_KD.T).flatten()
    # At least 1: each sampled row is among its own nearest, at distance 0.
    near = max(1.0, int((distances <= last).sum()) / sampled)
    degree = min(max(degree, near / 2), 2 * PAIRS_A_STAGE / k)
    while near + degree < (k / 4 if k * k <= 2 * PAIRS_A_STAGE else k):
        nearest = distances.topk(int(sampled * (near + degree)), largest=False, sorted=False)
        found = float(nearest.values.max())
        if found > last:
            return found
        degree *= 2
    return ABOVE_ALL

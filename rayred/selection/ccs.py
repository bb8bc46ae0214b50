"""CCS, coverage-centric coreset selection: images of every difficulty but the hardest, at random.

Source: Zheng et al. 2023, arXiv 2210.15809, algorithm 1, with EL2N as the difficulty. The paper
tunes the share of the hardest images that is dropped for each pruning rate; here it follows from
the rate.

Legend: N images of all classes, n of them that are not dropped, K strata.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates

HARDEST = 0.2
"""Share of the images left out that are dropped as the hardest: β = `HARDEST` · (1 − fraction)."""
STRATA = 50
"""K, the strata of equal width that the scores of the other images are split into."""


def select_ccs(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return images at random from all strata of the scores, (m,) int64 ascending.

    A class that would lose all images keeps one at random that was not dropped, or else the easiest
    of its dropped ones, in place of one drawn at random, see `Candidates.first`.
    """
    scores = candidates.scores["el2n"]
    count = sum(candidates.counts(fraction))
    hardest_first = np.argsort(-scores, kind="stable")
    hard, rest = np.split(hardest_first, [int(HARDEST * (len(scores) - count))])
    stratum = strata(scores[rest])
    allowed = budgets(np.bincount(stratum, minlength=STRATA), count)
    mixed = rng.permutation(len(rest))
    rank = _rank_within(stratum[mixed])
    drawn = rank < allowed[stratum[mixed]]
    order = np.concatenate([rest[mixed[drawn]], rest[mixed[~drawn]], hard[::-1]])
    return candidates.first(order, fraction)


def strata(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the stratum of each score, (n,) int64 below `STRATA`, of equal width from low to high.

    Parameters
    ----------
    scores
        (n,) finite scores.
    """
    low, high = scores.min(), scores.max()
    if low == high:
        return np.zeros(len(scores), dtype=np.int64)
    place: NDArray[np.int64] = ((scores - low) / (high - low) * STRATA).astype(np.int64)
    return place.clip(max=STRATA - 1)


def budgets(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return how many images to draw from each stratum, (K,) int64 with the sum `count`.

    The smallest stratum gets an even share, or all that it has; what is left goes to the others in
    the same way.

    Parameters
    ----------
    sizes
        (K,) int64, images of each stratum.
    count
        Images to draw, at most those that there are.
    """
    found = np.zeros_like(sizes)
    for done, stratum in enumerate(np.argsort(sizes, kind="stable")):
        found[stratum] = min(int(sizes[stratum]), count // (len(sizes) - done))
        count -= int(found[stratum])
    return found


def _rank_within(stratum: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of the same stratum are before each, (n,) int64."""
    order = np.argsort(stratum, kind="stable")
    sizes = np.bincount(stratum, minlength=STRATA)
    rank = np.empty(len(stratum), dtype=np.int64)
    rank[order] = np.arange(len(stratum)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rank

"""Prototypes: the images closest to the centres of their class (easy), or farthest away (hard).

Source: Sorscher et al. 2022, arXiv 2206.14486, its self-supervised prototypes metric, with clusters
of each class rather than of all images.

Legend: n images of one class, D embedding dimensions, K prototypes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.selection.candidates import Candidates
from rayred.selection.clusters import k_means
from rayred.selection.space import directions, ranked

PROTOTYPES = 5
"""K, the clusters of a class; the paper has as many in all as there are classes, or near that."""


def select_prototypes_easy(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the images of every class closest to a prototype, (m,) int64 ascending."""
    return candidates.choose(partial(_choose, sign=-1), fraction, rng)


def select_prototypes_hard(
    candidates: Candidates, fraction: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the images of every class farthest from all prototypes, (m,) int64 ascending."""
    return candidates.choose(partial(_choose, sign=1), fraction, rng)


def _choose(x: NDArray[Any], count: int, rng: np.random.Generator, sign: int) -> NDArray[np.int64]:
    unit = directions(x)
    clusters = k_means(unit, min(PROTOTYPES, len(x)), rng)
    return ranked(sign * distances(unit, clusters))[:count]


def distances(x: NDArray[np.float64], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cosine distance of each row to the closest prototype, (n,).

    A prototype is the mean of a cluster; one that is zero is at distance 1 of everything.

    Parameters
    ----------
    x
        (n, D) rows of length 1.
    clusters
        (n,) int64, the cluster of each.
    """
    means_KD = np.stack([x[clusters == cluster].mean(axis=0) for cluster in np.unique(clusters)])
    lengths_K = np.linalg.norm(means_KD, axis=1, keepdims=True)
    prototypes_KD = means_KD / np.where(lengths_K > 0, lengths_K, 1)
    nearest: NDArray[np.float64] = 1 - (x @ prototypes_KD.T).max(axis=1)
    return nearest

"""The representative of each cluster: the row closest to the cluster's centre.

Legend: N rows, D dimensions, K clusters.

>>> representatives([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0]], [0, 0, 0, 1])
array([1, 3])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from rayred.linkage.rows import ALL_ZERO, NOT_FINITE, as_matrix, as_unit_rows, unusable_rows

TIE = 1e-6
"""Cosine similarities that differ by no more count as equal, so that no rounding decides."""
NO_CENTRE = 1e-9
"""Least length by which similarities to a mean of unit rows are divided.

If rows cancel out, their mean has a length of about 1e-16, and a direction made by rounding.
"""


def representatives(x: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Return the row of each cluster that is closest to the cluster's centre.

    The centre is the mean of the cluster's rows, each scaled to length 1; closeness is cosine
    similarity. Of all rows within 1e-6 of the closest one, the lowest is returned. So it is the
    lower row of a cluster of two, whose members are equally close to their mean. Rows that cancel
    out have a mean of length 0, to which all are equally close.

    Parameters
    ----------
    x
        (N, D) real numbers.
    labels
        (N,) integers 0 to K − 1, each used at least once: the cluster of every row.

    Returns
    -------
    rows
        (K,) int64: entry k is the representative of cluster k.

    Raises
    ------
    ValueError
        `x` is not a matrix of finite real numbers or has a row of zeros, or `labels` are not N
        integers that use each of 0 to K − 1.
    """
    array = as_matrix(x)
    for rows, problem in zip(unusable_rows(array), (NOT_FINITE, ALL_ZERO), strict=True):
        if len(rows):
            raise ValueError(f"row {rows[0]} {problem}")
    labels_N = np.asarray(labels)
    if labels_N.shape != (len(array),) or labels_N.dtype.kind not in "iu":
        raise ValueError(
            f"expected {len(array)} integer labels, one a row of x, got shape {labels_N.shape}"
            f" of dtype {labels_N.dtype}"
        )
    within = labels_N.min() >= 0 and labels_N.max() < len(labels_N)
    if not (within and np.bincount(labels_N).all()):
        raise ValueError("labels must be 0 to K − 1, each used at least once")

    def closest(unit_ND: NDArray[np.float64], labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
        n = len(labels_N)
        membership_KN = csr_array((np.ones(n), (labels_N, np.arange(n))))
        found: NDArray[np.float64] = _closest(np, unit_ND, labels_N, membership_KN @ unit_ND)
        return found

    return _lowest_or(closest, array, labels_N)


def representatives_on_gpu(x: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Return the same as `representatives`, computed by CuPy on the current GPU.

    `x` and `labels` are arrays in main memory, and so is the result; they are not checked.
    """
    import cupy
    from cupyx.scipy.sparse import coo_matrix

    def closest(unit_ND: NDArray[np.float64], labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
        unit, labels, n = cupy.asarray(unit_ND), cupy.asarray(labels_N), len(labels_N)
        shape = int(labels_N.max()) + 1, n
        members = coo_matrix((cupy.ones(n), (labels, cupy.arange(n))), shape=shape).tocsr()
        found: NDArray[np.float64] = cupy.asnumpy(_closest(cupy, unit, labels, members @ unit))
        return found

    return _lowest_or(closest, as_matrix(x), np.asarray(labels))


def _lowest_or(
    closest: Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]],
    x: NDArray[Any],
    labels_N: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the lowest row of clusters of one or two rows, and what a function finds of others."""
    chosen_K = np.empty(labels_N.max() + 1, np.int64)
    chosen_K[labels_N[::-1]] = np.arange(len(labels_N))[::-1]
    rows = np.flatnonzero(np.bincount(labels_N)[labels_N] > 2)
    if len(rows):
        clusters, renumbered = np.unique(labels_N[rows], return_inverse=True)
        chosen_K[clusters] = rows[closest(as_unit_rows(x, rows), renumbered).astype(np.int64)]
    return chosen_K


def _closest(xp: Any, unit_ND: Any, labels_N: Any, centres_KD: Any) -> Any:
    """Return the row closest to each centre, (K,) float64.

    `xp` is NumPy or CuPy, whichever made the arrays; a centre is the sum of its unit rows.
    """
    # The sum of members that cancel out is rounding, with a direction of its own. Divided by this
    # length, all similarities to it are below TIE.
    length_K = xp.maximum(xp.linalg.norm(centres_KD, axis=1), NO_CENTRE * xp.bincount(labels_N))
    similarity_N = xp.einsum("nd,nd->n", unit_ND, centres_KD[labels_N]) / length_K[labels_N]
    closest_K = xp.full(len(length_K), -np.inf)
    xp.maximum.at(closest_K, labels_N, similarity_N)
    within_N = similarity_N >= closest_K[labels_N] - TIE
    lowest_K = xp.full(len(length_K), np.inf)  # CuPy has minimum.at for floats, not for int64
    xp.minimum.at(lowest_K, labels_N[within_N], xp.arange(float(len(labels_N)))[within_N])
    return lowest_K

"""The row that stands for each cluster.

Legend: N rows, D dimensions, K clusters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from rayred.linkage.rows import as_unit_rows

TIE = 1e-6
"""Cosine similarities this close count as equal, so that rounding noise decides nothing."""


def representatives(x: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Return the row of each cluster that is closest to the cluster's centre.

    The centre is the mean of the cluster's unit vectors; closeness is cosine similarity. Of rows
    within 1e-6 of the closest, the lowest stands for the cluster: both members of a pair are
    equally close to their mean.

    Parameters
    ----------
    x
        (n, d) real numbers.
    labels
        (n,) integers 0 to K − 1, each used at least once.

    Returns
    -------
    rows
        (n_clusters,) int64: entry j is the representative of cluster j.

    Raises
    ------
    ValueError
        `x` cannot be used, or `labels` do not fit it.
    """
    unit_ND = as_unit_rows(x)
    labels_N = np.asarray(labels)
    if labels_N.shape != (len(unit_ND),) or labels_N.dtype.kind not in "iu":
        raise ValueError(
            f"expected {len(unit_ND)} integer labels, one a row of x, got shape {labels_N.shape}"
            f" of dtype {labels_N.dtype}"
        )
    sizes_K = np.bincount(labels_N) if labels_N.min() >= 0 else np.zeros(1)
    if not sizes_K.all():
        raise ValueError("labels must be 0 to K − 1, each used at least once")
    rows_N = np.arange(len(labels_N))
    shape = len(sizes_K), len(labels_N)
    membership_KN = csr_array((np.ones(len(labels_N)), (labels_N, rows_N)), shape=shape)
    return np.asarray(_closest(np, unit_ND, labels_N, membership_KN @ unit_ND), dtype=np.int64)


def representatives_on_gpu(x: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Do the same with CuPy on the current GPU; `x` and `labels` come from the host."""
    import cupy
    from cupyx.scipy.sparse import coo_matrix

    unit_ND, labels_N = cupy.asarray(as_unit_rows(x)), cupy.asarray(labels)
    n = len(labels_N)
    shape = int(labels_N.max()) + 1, n
    membership_KN = coo_matrix((cupy.ones(n), (labels_N, cupy.arange(n))), shape=shape).tocsr()
    chosen = cupy.asnumpy(_closest(cupy, unit_ND, labels_N, membership_KN @ unit_ND))
    return np.asarray(chosen, dtype=np.int64)


def _closest(xp: Any, unit_ND: Any, labels_N: Any, centres_KD: Any) -> Any:
    # A centre of length 0 (members that cancel out) has no direction: all its members tie.
    length_K = xp.maximum(xp.linalg.norm(centres_KD, axis=1), np.finfo(np.float64).tiny)
    similarity_N = xp.einsum("nd,nd->n", unit_ND, centres_KD[labels_N]) / length_K[labels_N]
    closest_K = xp.full(len(length_K), -np.inf)
    xp.maximum.at(closest_K, labels_N, similarity_N)
    within_N = similarity_N >= closest_K[labels_N] - TIE
    lowest_K = xp.full(len(length_K), np.inf)  # CuPy has minimum.at of floats, not of int64
    xp.minimum.at(lowest_K, labels_N[within_N], xp.arange(float(len(labels_N)))[within_N])
    return lowest_K

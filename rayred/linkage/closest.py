"""The representative of each cluster: the row closest to the cluster's centre.

Legend: N rows, D dimensions, K clusters.

>>> representatives([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0]], [0, 0, 0, 1])
array([1, 3])
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from rayred.linkage.rows import as_unit_rows

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
    unit_ND = as_unit_rows(x)
    labels_N = np.asarray(labels)
    if labels_N.shape != (len(unit_ND),) or labels_N.dtype.kind not in "iu":
        raise ValueError(
            f"expected {len(unit_ND)} integer labels, one a row of x, got shape {labels_N.shape}"
            f" of dtype {labels_N.dtype}"
        )
    within = labels_N.min() >= 0 and labels_N.max() < len(labels_N)
    sizes_K = np.bincount(labels_N) if within else np.zeros(1)
    if not sizes_K.all():
        raise ValueError("labels must be 0 to K − 1, each used at least once")
    rows_N = np.arange(len(labels_N))
    shape = len(sizes_K), len(labels_N)
    membership_KN = csr_array((np.ones(len(labels_N)), (labels_N, rows_N)), shape=shape)
    return np.asarray(_closest(np, unit_ND, labels_N, membership_KN @ unit_ND), dtype=np.int64)


def representatives_on_gpu(x: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Return the same as `representatives`, computed by CuPy on the current GPU.

    `x` and `labels` are arrays in main memory, and so is the result; `labels` are not checked.
    """
    import cupy
    from cupyx.scipy.sparse import coo_matrix

    unit_ND, labels_N = cupy.asarray(as_unit_rows(x)), cupy.asarray(labels)
    n = len(labels_N)
    shape = int(labels_N.max()) + 1, n
    membership_KN = coo_matrix((cupy.ones(n), (labels_N, cupy.arange(n))), shape=shape).tocsr()
    chosen = cupy.asnumpy(_closest(cupy, unit_ND, labels_N, membership_KN @ unit_ND))
    return np.asarray(chosen, dtype=np.int64)


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

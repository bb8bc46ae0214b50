"""Checks of the input, and its rows scaled to length 1 with the same bits on any device.

Legend: N rows, D dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


def as_matrix(x: ArrayLike) -> NDArray[Any]:
    """Return `x` as an (N, D) array of its own dtype.

    Raises
    ------
    ValueError
        `x` is not a non-empty two-dimensional array of real numbers.
    """
    array = np.asarray(x)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"expected a non-empty array of shape (n, d), got shape {array.shape}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected real numbers, got dtype {array.dtype}")
    return array


def unit_rows(x: ArrayLike, device: torch.device | str = "cpu") -> Tensor:
    """Return the rows of `x` scaled to length 1, (N, D) float64, with the same bits on any device.

    Raises
    ------
    ValueError
        `x` is not a non-empty matrix of real numbers, or one of its rows has a number that is NaN
        or infinite, or is all zero.
    """
    array = as_matrix(x)
    if array.dtype not in (np.float16, np.float32, np.float64):
        array = array.astype(np.float64)
    # Sent to the device before it is widened: half precision is a quarter of the bytes. Copied,
    # because torch takes no read-only arrays.
    rows = torch.from_numpy(np.array(array, order="C")).to(device).double()
    # Scaled by the largest entry first, so that no square under- or overflows.
    largest = rows.abs().amax(1, keepdim=True)
    # Infinity is the largest entry of its row, and amax returns NaN for a row with a NaN.
    for bad, problem in (
        (~largest.isfinite(), "has a value that is NaN or infinite"),
        (largest == 0, "is all zero: its cosine distance is undefined"),
    ):
        if bad.any():
            raise ValueError(f"row {int(bad.squeeze(1).int().argmax())} {problem}")
    rows /= largest
    rows /= sum_by_halves(rows.square()).sqrt_().unsqueeze(1)
    return rows


def as_unit_rows(x: ArrayLike) -> NDArray[np.float64]:
    """Return `unit_rows` of `x` as a NumPy array, (N, D) float64; raises the same errors."""
    unit: NDArray[np.float64] = unit_rows(x).numpy()
    return unit


def sum_by_halves(values_ND: Tensor) -> Tensor:
    """Return the sum of every row, (N,), with the same bits on any device; overwrites the values.

    The second half of the columns is added to the first, then the second quarter, and so on. That
    order depends on D alone, and no compiler can fuse these additions with other operations.
    """
    width = values_ND.shape[1]
    while width > 1:
        half = (width + 1) // 2
        values_ND[:, : width - half] += values_ND[:, half:width]
        width = half
    return values_ND[:, 0]


def check_n_clusters(n_clusters: int, n_rows: int) -> None:
    """Check that `n_rows` rows can be put into `n_clusters` clusters.

    Raises
    ------
    ValueError
        `n_clusters` is not 1 to `n_rows`.
    """
    if not 1 <= n_clusters <= n_rows:
        raise ValueError(f"n_clusters is {n_clusters}; expected 1 to {n_rows}, the number of rows")

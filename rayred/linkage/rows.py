"""Checks of the input, and its rows scaled to length 1 with the same bits on any device.

Legend: N rows, n rows taken of them, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from torch import Tensor

NOT_FINITE = "has a value that is NaN or infinite"
ALL_ZERO = "is all zero: its cosine distance is undefined"
FEW_COLUMNS = 16
"""Number of columns from which on sums of arrays are of whole columns."""
CACHED_BYTES = 2**20
"""Size in float64 of the rows that are worked on at a time on a CPU: they stay in its cache."""
CUDA_CACHED_BYTES = 2**28
"""The same on a GPU, whose memory they bound."""
BLOCK_BYTES = 2**22
"""Size of the rows that are checked at a time."""

A = TypeVar("A", Tensor, NDArray[np.float64])


def as_matrix(x: ArrayLike) -> NDArray[Any]:
    """Return `x` as an (N, D) array of its own dtype, or of float32 if NumPy does not have that.

    Raises
    ------
    ValueError
        `x` is not a non-empty two-dimensional array of real numbers, or is a masked, a sparse or a
        quantized one.
    """
    if np.ma.isMaskedArray(x):
        raise ValueError("x is a masked array; give the rows that have all their values, unmasked")
    if issparse(x):
        raise ValueError(f"x is a sparse {type(x).__name__} of SciPy; give x.toarray()")
    if isinstance(x, Tensor):
        x = _as_array(x)
    array = np.asarray(x)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"expected a non-empty array of shape (n, d), got shape {array.shape}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"expected real numbers, got dtype {array.dtype}")
    return array


def _as_array(x: Tensor) -> NDArray[Any]:
    if x.layout != torch.strided or x.is_quantized:
        raise ValueError("x is a sparse or quantized tensor; give x.to_dense() or x.dequantize()")
    tensor = x.detach().cpu().resolve_conj().resolve_neg()
    try:
        return tensor.numpy()
    except TypeError:  # NumPy has no bfloat16 and no floats of 8 bits
        return tensor.float().numpy()


def unit_rows(
    x: ArrayLike,
    device: torch.device | str = "cpu",
    rows: NDArray[np.int64] | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Return rows of `x` scaled to length 1, (n, D) float64, with the same bits on any device.

    Parameters
    ----------
    x
        (N, D) real numbers of any dtype. Integers beyond 2⁵³ are rounded to the nearest float64;
        rows of long double are first scaled by a power of two, so that none leaves its range.
    device
        Device of the result.
    rows
        (n,) the rows to take; all of them by default.
    out
        (n, D) float64 on that device, which receives the result; by default a new tensor.

    Raises
    ------
    ValueError
        `x` is not a non-empty matrix of real numbers, or one of the rows taken has a number that
        is NaN or infinite, or is all zero; the message names the row of `x`.
    """
    array = as_matrix(x)
    # Sent to the device before it is widened: half precision is a quarter of the bytes.
    taken = _as_tensor(array if rows is None else array[rows]).to(device)
    n, d = taken.shape
    unit = empty((n, d), torch.float64, taken.device) if out is None else out
    for block in row_blocks(unit):
        part = unit[block]
        # By float32, which torch makes of float16 several times as fast as float64.
        part.copy_(taken[block].float() if taken.dtype == torch.float16 else taken[block])
        # Scaled by the largest entry first, so that no square under- or overflows.
        largest = part.abs().amax(1, keepdim=True)
        # Infinity is the largest entry of its row, and amax returns NaN for a row with a NaN.
        bad = (~largest.isfinite() | (largest == 0)).squeeze(1)
        if bad.any():
            first = int(bad.int().argmax())
            problem = ALL_ZERO if largest[first] == 0 else NOT_FINITE
            place = block.start + first
            raise ValueError(f"row {place if rows is None else rows[place]} {problem}")
        part /= largest
        part /= sum_by_halves(part.square()).sqrt_().unsqueeze(1)
    return unit


def empty(shape: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return a new matrix whose values are still to be written.

    On a CPU, its memory is NumPy's, which asks the system for huge pages: to get those of 4 KiB at
    their first use takes longer than what the engine then writes there.
    """
    if device.type != "cpu" or 0 in shape:
        return torch.empty(shape, dtype=dtype, device=device)
    size = shape[0] * shape[1] * dtype.itemsize
    return torch.from_numpy(np.empty(size, np.uint8)).view(dtype).view(shape)


def row_blocks(rows_ND: Tensor) -> Iterator[slice]:
    """Yield slices of (N, D) rows, of which each fits into the processor's cache as float64."""
    size = CUDA_CACHED_BYTES if rows_ND.is_cuda else CACHED_BYTES
    count = max(1, size // (8 * rows_ND.shape[1]))
    for first in range(0, len(rows_ND), count):
        yield slice(first, min(first + count, len(rows_ND)))


def as_unit_rows(x: ArrayLike, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """Return `unit_rows` as a NumPy array, (n, D) float64; raises the same errors."""
    unit: NDArray[np.float64] = unit_rows(x, rows=rows).numpy()
    return unit


def unusable_rows(x: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which rows `unit_rows` refuses.

    Parameters
    ----------
    x
        (N, D) real numbers, for example a memory map; it is read in blocks.

    Returns
    -------
    not_finite, zero
        The rows that have a value that is NaN or infinite, and those that are all zero, each int64
        ascending.
    """
    not_finite, zero = [], []
    block = max(1, BLOCK_BYTES // (x.itemsize * x.shape[1]))
    for first in range(0, len(x), block):
        largest = _as_tensor(x[first : first + block]).abs_().amax(1).numpy()
        not_finite.append(first + np.flatnonzero(~np.isfinite(largest)))
        zero.append(first + np.flatnonzero(largest == 0))
    return np.concatenate(not_finite), np.concatenate(zero)


def _as_tensor(array: NDArray[Any]) -> Tensor:
    """Return a copy of (n, D) real numbers as float16, float32 or float64."""
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        _, exponents = np.frexp(np.abs(array).max(1, keepdims=True))
        array = np.ldexp(array, -exponents)
    if array.dtype not in (np.float16, np.float32, np.float64):
        array = array.astype(np.float64)
    # Copied, because torch takes no read-only arrays.
    return torch.from_numpy(np.array(array, order="C"))


def sum_by_halves(values_ND: A) -> A:
    """Return the sum of every row, (N,), with the same bits on any device; overwrites the values.

    The second half of the columns is added to the first, then the second quarter, and so on. That
    order depends on D alone, and no compiler can fuse these additions with other operations.

    Parameters
    ----------
    values_ND
        (N, D) tensor or array.
    """
    width = values_ND.shape[1]
    while width > FEW_COLUMNS:
        half = (width + 1) // 2
        lower = values_ND[:, : width - half]
        lower += values_ND[:, half:width]
        width = half
    few = values_ND[:, :width].T  # of many rows, which are slow to add as they lie
    columns = few.contiguous() if isinstance(few, Tensor) else np.ascontiguousarray(few)
    while width > 1:
        half = (width + 1) // 2
        lower = columns[: width - half]
        lower += columns[half:width]
        width = half
    sums: A = columns[0]
    return sums

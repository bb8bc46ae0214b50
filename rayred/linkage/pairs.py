"""Pairs of rows or clusters that are close: found by float32 products, measured in float64.

Legend: N rows, D dimensions, K clusters, E pairs.

The cosine distance of unit rows a and b is d = ‖a − b‖² / 2. Candidates come from float32 products
of *centred* rows: with y = row − mean and q = ‖y‖² / 2, −d = y·y' − q − q'. Its rounding error
grows with the distance of the two rows from the mean, not with their length, so there are few
false candidates even where all rows but a few lie within distances of 1e-5. Every candidate is then
measured in float64, by itself and in a fixed order of additions. So a distance has the same bits
whatever the block size, the number of threads or the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.linkage.boxes import Boxes
from rayred.linkage.lowered import FLOAT32_ROUNDING, lowered_limit
from rayred.linkage.rows import empty, row_blocks, sum_by_halves
from rayred.linkage.scanning import entries_from, entries_upto
from rayred.linkage.sparse_rows import measure_by_tiles, tiles_pay

FLOAT32_UNDERFLOW = 2.0**-126
"""Largest error of one operation whose result is below float32's range, also if it becomes 0."""
GATHERED_BYTES = 2**20
"""Bytes of the rows gathered at a time to measure pairs on a CPU: they stay in the cache."""
CUDA_GATHERED_BYTES = 2**26
"""The same on a GPU."""
LOWERED_ROWS = 2
"""Times the rows of a block in float32 that one in bfloat16 has, of as many bytes."""
PARTS_A_THREAD = 2
"""Parts of the pairs to measure from which on another thread is worth its start."""


def cluster_factors(
    unit_ND: Tensor, cluster_N: Tensor, names_K: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return two float32 factors whose product is minus the mean distances of clusters.

    The distance of two clusters is here the mean over all pairs of a row of one and a row of the
    other; it is at most their complete-linkage distance. An entry of the product is linear in
    either row, so the factor of a cluster is the mean of the factors of its rows.

    Parameters
    ----------
    unit_ND
        (N, D) float64 rows of length 1.
    cluster_N
        (N,) int64, the cluster of every row, identified by its lowest row.
    names_K
        (K,) int64 ascending, the clusters.

    Returns
    -------
    left, right
        (K, D + 2) float32: ``left @ right.T`` is −d for every pair of clusters.
    slack
        (K,) float32: the rounding error of an entry is at most the sum of those of its clusters.
    """
    k, d = len(names_K), unit_ND.shape[1]
    mean_D = unit_ND.mean(0)
    left, right = (empty((k, d + 2), torch.float32, unit_ND.device) for _ in range(2))
    q_N = unit_ND.new_empty(len(unit_ND))
    singles = k == len(unit_ND)
    y_ND = left[:, :d] if singles else torch.empty_like(unit_ND)
    for block in row_blocks(unit_ND):
        centred = unit_ND[block] - mean_D
        y_ND[block] = centred
        q_N[block] = centred.square_().sum(1) / 2
        if singles:
            right[block, :d] = y_ND[block]
    if not singles:  # means of centred rows: where all lie close together, others lose digits
        left[:, :d] = right[:, :d] = _cluster_means(y_ND, cluster_N, names_K)
    q_K = _cluster_means(q_N, cluster_N, names_K)
    left[:, d], left[:, d + 1] = -q_K, -1
    right[:, d], right[:, d + 1] = 1, q_K
    # Sum of the magnitudes of an entry's terms: |y·y'| + q + q' ≤ 2 (q + q').
    slack = (d + 8) * (FLOAT32_ROUNDING * 2 * q_K + FLOAT32_UNDERFLOW)
    return left, right, slack.float()


def widen(left: Tensor, right: Tensor, slack_K: Tensor) -> None:
    """Make the entries of two factors −d or more, whatever the rounding, for `near_pairs`.

    The slack of both clusters of an entry is added to it. So one cluster that is far from the mean
    does not make candidates of all the others.
    """
    left[:, -2] += slack_K
    right[:, -1] -= slack_K


def _cluster_means(values: Tensor, cluster_N: Tensor, names_K: Tensor) -> Tensor:
    """Return the mean of (N, …) values over the rows of each cluster, (K, …)."""
    if len(names_K) == len(cluster_N):
        return values
    total = torch.zeros_like(values).index_add_(0, cluster_N, values)[names_K]
    size = torch.bincount(cluster_N, minlength=len(cluster_N))[names_K]
    return total / size.view(-1, *[1] * (values.ndim - 1))


def even_strips(n: int, count: int) -> list[tuple[int, int]]:
    """Cut the rows of an n × n upper triangle into about `count` strips of about equal area.

    Returns
    -------
    strips
        The first row of each strip and the row after its last.
    """
    cuts = n - n * torch.linspace(1, 0, count + 1, dtype=torch.float64, device="cpu").sqrt()
    edges = sorted(set(cuts.round().long().tolist()))
    return list(pairwise(edges))


def near_pairs(
    left: Tensor,
    right: Tensor,
    limit: float,
    block: tuple[int, int],
    strip: tuple[int, int] | None = None,
    boxes: Boxes | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the pairs i < j that may be within `limit`, by the product of two factors.

    Parameters
    ----------
    left, right
        (K, D + 2) float32 factors of `cluster_factors`, after `widen`, or the bfloat16 factors that
        `rayred.linkage.lowered.lowered` makes of them.
    limit
        Largest distance wanted.
    block
        Rows and columns of the product that are in memory at a time.
    strip
        The first i and the one after the last; by default all.
    boxes
        Of the rows of the factors, which are in their order: boxes that are far apart are not
        multiplied.

    Yields
    ------
    i, j
        (E,) int64 positions in `left` and `right`: the pairs of one block, if it has any.
    """
    n = len(left)
    first, end = strip or (0, n)
    lowered = left.dtype == torch.bfloat16
    # The fewer rows are looked at together, the fewer boxes are near one of them.
    height = block[0] * LOWERED_ROWS if lowered and boxes is None else block[0]
    rows, columns = _even_length(end - first, height), min(block[1], n)
    # One buffer for all blocks: allocating each would take as long as the product.
    buffer = left.new_empty(rows * columns)
    near = torch.empty(rows * columns, dtype=torch.bool, device=left.device)
    scan = (
        partial(entries_upto, most=lowered_limit(limit))
        if lowered
        else partial(entries_from, least=-limit)
    )
    for first_row in range(first, end, rows):
        last_row = min(first_row + rows, end)
        for places in _columns(n, columns, limit, boxes, (first_row, last_row)):
            first_column, end_column = int(places[0]), int(places[-1]) + 1
            together = len(places) == end_column - first_column
            taken = slice(first_column, end_column) if together else places.to(right.device)
            right_block = right[taken]
            # Rows past the last column have no pair i < j in this block.
            left_block = left[first_row : min(last_row, end_column)]
            shape = len(left_block), len(right_block)
            entries = shape[0] * shape[1]
            product = torch.mm(left_block, right_block.T, out=buffer[:entries].view(shape))
            i, j = scan(product, mask=near[:entries].view(shape))
            i, j = i + first_row, j + first_column if isinstance(taken, slice) else taken[j]
            if first_column < last_row:
                upper = i < j
                i, j = i[upper], j[upper]
            if len(i):
                yield i, j


def _columns(
    n: int, columns: int, limit: float, boxes: Boxes | None, rows: tuple[int, int]
) -> tuple[Tensor, ...]:
    """Return the columns that some rows are multiplied with, not before the first row, in parts."""
    near = torch.arange(rows[0], n, device="cpu") if boxes is None else boxes.near(limit, *rows)
    return torch.split(near, columns)


def _even_length(n: int, most: int) -> int:
    """Return the length of parts of about one size that n rows are cut into, at most `most`."""
    return max(1, math.ceil(n / max(1, math.ceil(n / most))))


def pair_distances(unit_ND: Tensor, i_E: Tensor, j_E: Tensor) -> Tensor:
    """Return the cosine distance ‖row i − row j‖² / 2 of every pair of rows, (E,) float64.

    The squares are added in the order of `rayred.linkage.rows.sum_by_halves`.
    """
    if unit_ND.is_cuda:
        distances = unit_ND.new_empty(len(i_E))
        at_a_time = max(1, CUDA_GATHERED_BYTES // (8 * unit_ND.shape[1]))
        for first in range(0, len(i_E), at_a_time):
            part = slice(first, first + at_a_time)
            rows = unit_ND.index_select(0, i_E[part]).sub_(unit_ND.index_select(0, j_E[part]))
            distances[part] = sum_by_halves(rows.square_()) / 2
        return distances
    return torch.from_numpy(_distances_on_cpu(unit_ND.numpy(), i_E.numpy(), j_E.numpy()))


def _distances_on_cpu(
    unit_ND: NDArray[np.float64], i_E: NDArray[np.int64], j_E: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the same as `pair_distances`, by NumPy."""
    distances_E = np.empty(len(i_E))
    if tiles_pay(unit_ND, len(i_E)):
        rest = measure_by_tiles(unit_ND, i_E, j_E, distances_E)
        distances_E[rest] = _sums_of_squares(unit_ND, i_E[rest], j_E[rest])
    else:
        distances_E = _sums_of_squares(unit_ND, i_E, j_E)
    distances_E /= 2
    return distances_E


def _sums_of_squares(
    unit_ND: NDArray[np.float64], i_E: NDArray[np.int64], j_E: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return twice the distances of pairs, by as many threads as torch has.

    torch itself shares every small step among its threads, which wait for each other longer than
    they compute where other processes are at work too.
    """
    sums_E = np.empty(len(i_E))
    at_a_time = max(1, GATHERED_BYTES // (8 * unit_ND.shape[1]))

    def measure(parts: range) -> None:
        for first in parts:
            part = slice(first, first + at_a_time)
            rows = unit_ND.take(i_E[part], axis=0)
            rows -= unit_ND.take(j_E[part], axis=0)
            sums_E[part] = sum_by_halves(np.square(rows, out=rows))

    parts = range(0, len(i_E), at_a_time)
    threads = max(1, min(torch.get_num_threads(), len(parts) // PARTS_A_THREAD))
    if threads == 1:
        measure(parts)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(measure, [parts[number::threads] for number in range(threads)]))
    return sums_E

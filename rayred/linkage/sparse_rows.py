"""Distances of pairs of rows that are mostly 0, from the columns in which one of them is not.

Pairs are taken in tiles: some rows with some others. The bits are those of
`rayred.linkage.pairs.pair_distances`, which reads all columns.

Legend: R rows, D dimensions, E pairs, C columns, T tiles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPARSE = 0.1
"""Share of the numbers that are not 0 up to which rows are sparse."""
TILE_ROWS = 32
"""Rows of each side of a tile."""
TILE_WORK = 300_000
"""Numbers of a list of pairs that take as long to subtract as a tile. Measured: 0.3 to 0.8 ms."""
PAIRS_AT_A_TIME = 2**20
"""Number of pairs that are sorted into tiles at a time."""


def tiles_pay(unit_RD: NDArray[np.float64], pairs: int) -> bool:
    """Return whether so many pairs may take less time by tiles: the rows are long and mostly 0."""
    n, d = unit_RD.shape
    if pairs < n or TILE_ROWS**2 * d < TILE_WORK:
        return False
    return int(np.count_nonzero(unit_RD)) <= SPARSE * unit_RD.size


def measure_by_tiles(
    unit_RD: NDArray[np.float64],
    i_E: NDArray[np.int64],
    j_E: NDArray[np.int64],
    distances_E: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Measure the pairs that fill tiles.

    Parameters
    ----------
    unit_RD
        (R, D) rows of length 1.
    i_E, j_E
        (E,) the rows of every pair.
    distances_E
        (E,) receives twice the distances of the pairs that are measured.

    Returns
    -------
    rest
        The places of the other pairs.
    """
    n, d = unit_RD.shape
    blocks = range(0, n, TILE_ROWS)
    used = np.stack([np.any(unit_RD[first : first + TILE_ROWS], axis=0) for first in blocks])
    rest = []
    for begin in range(0, len(i_E), PAIRS_AT_A_TIME):
        i, j = i_E[begin : begin + PAIRS_AT_A_TIME], j_E[begin : begin + PAIRS_AT_A_TIME]
        tile_E = i // TILE_ROWS * len(blocks) + j // TILE_ROWS
        order = tile_E.argsort(kind="stable")
        tiles, firsts = np.unique(tile_E[order], return_index=True)
        for tile, places in zip(tiles.tolist(), np.split(order, firsts[1:]), strict=True):
            if len(places) * d < TILE_WORK:
                rest.append(begin + places)
                continue
            one, other = divmod(tile, len(blocks))
            columns = np.flatnonzero(used[one] | used[other])
            sums = _sums_of_tile(unit_RD, blocks[one], blocks[other], columns)
            distances_E[begin + places] = sums[i[places] % TILE_ROWS, j[places] % TILE_ROWS]
    return np.concatenate(rest) if rest else np.empty(0, np.int64)


def _sums_of_tile(
    unit_RD: NDArray[np.float64], first: int, other: int, columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sums of squares of the differences of rows with other rows."""
    one = unit_RD[first : first + TILE_ROWS, columns].T[:, :, None]
    squares = one - unit_RD[other : other + TILE_ROWS, columns].T[:, None, :]
    return _sum_of_columns(np.square(squares, out=squares), columns, unit_RD.shape[1])


def _sum_of_columns(
    values: NDArray[np.float64], columns: NDArray[np.int64], d: int
) -> NDArray[np.float64]:
    """Return the sum over some columns as `sum_by_halves` gives it of all, the others 0.

    Parameters
    ----------
    values
        (C, …) of 0 and more; overwritten.
    columns
        (C,) ascending, C ≥ 1.
    d
        D.
    """
    places = np.arange(len(columns))
    while d > 1:
        half = (d + 1) // 2
        cut = int(np.searchsorted(columns, half))
        moved = columns[cut:] - half
        _, low, high = np.intersect1d(columns[:cut], moved, True, return_indices=True)
        values[places[low]] += values[places[cut + high]]
        # What has no partner, whose partner is 0, takes its column.
        alone = np.ones(len(moved), dtype=bool)
        alone[high] = False
        columns = np.concatenate([columns[:cut], moved[alone]])
        places = np.concatenate([places[:cut], places[cut:][alone]])
        order = columns.argsort()
        columns, places = columns[order], places[order]
        d = half
    total: NDArray[np.float64] = values[places[0]]
    return total

"""All pairs of rows within a distance, block by block: exact, and never all pairs in memory.

Legend: N rows, D dimensions, E pairs of a block.

>>> import torch
>>> unit = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=torch.float64)
>>> [(i.tolist(), j.tolist()) for i, j, _ in pairs_within(unit, 0.25)]
[([1], [2])]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.linkage.engine import CPU_BLOCK, CUDA_BLOCK
from rayred.linkage.near import STRIP_BLOCKS
from rayred.linkage.pairs import cluster_factors, even_strips, near_pairs, pair_distances, widen

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Rows i < j of some pairs, (E,) each, and their cosine distances, (E,)."""


def pairs_within(
    unit_ND: Tensor,
    limit: float,
    *,
    block: tuple[int, int] | None = None,
    report: Callable[[float], None] | None = None,
) -> Iterator[Pairs]:
    """Yield all pairs of rows whose cosine distance is at most `limit`, each once.

    Candidates come from float32 products with a bound of their rounding, and are measured in
    float64, see `rayred.linkage.pairs`. Equal rows give a pair each: of n equal ones n² / 2.

    Parameters
    ----------
    unit_ND
        (N, D) float64 rows of length 1, on the device to compute on.
    limit
        Largest cosine distance, 0 to 2.
    block
        Rows and columns of the product in memory at a time; by default by the kind of device.
    report
        Called with the share that is done, 0 to 1.
    """
    names = torch.arange(len(unit_ND), device=unit_ND.device)
    left, right, slack = cluster_factors(unit_ND, names, names)
    widen(left, right, slack)
    block = block or (CUDA_BLOCK if unit_ND.is_cuda else CPU_BLOCK)
    n = len(unit_ND)
    for first, end in even_strips(n, n // (STRIP_BLOCKS * block[0]) + 1):
        for i, j in near_pairs(left, right, limit, block, (first, end)):
            distance = pair_distances(unit_ND, i, j)
            near = distance <= limit
            if near.any():
                yield i[near].cpu().numpy(), j[near].cpu().numpy(), distance[near].cpu().numpy()
        if report is not None:
            report(1 - (1 - end / n) ** 2)

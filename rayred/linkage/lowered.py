"""Factors in bfloat16 whose product is never above the distances, for `near_pairs`.

Legend: K clusters, D dimensions.

Let y and y' be the float32 rows of two clusters, h = bf16(y), r = y − h, and a, a' what
`cluster_factors` and `widen` add to −y·y', so that −y·y' + a + a' is at most their distance d. Then

    y·y' ≤ h·h' + ‖r‖ ‖h'‖ + (‖h‖ + ‖r‖) ‖r'‖                                    (Cauchy–Schwarz)
    d ≥ −h·h' + a + a' − ‖r‖ ‖h'‖ − (‖h‖ + ‖r‖) ‖r'‖

Each term of the second line is a product of a number of the one cluster and one of the other: a
column of two factors. Products of two bfloat16 numbers are exact in float32. Their sum has an error
of at most γ (‖h‖ ‖h'‖ + |a| + |a'| + the two terms of norms), with γ = (D + 16) u and u the largest
relative error of an addition. So γ ‖h‖ is added to the first ‖r‖, 3 γ |a| is taken off each a, and
norms are rounded up by more than what computing them and the last two terms of the error take. An
a is three bfloat16 numbers, whose sum has an error of 2⁻²⁷ |a|. Rounding to bfloat16 is monotone:
if d ≤ t, the rounded entry is at most t, rounded. All that underflows is less than 2⁻¹⁰⁰, for which
the threshold is one unit in the last place higher.
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np
import torch
from torch import Tensor

from rayred.linkage.rows import empty, row_blocks

EXTRA = 8
"""Columns beside the rows: two numbers in three parts each, and two pairs of norms."""
ROUNDED = 16
"""Roundings of an entry beside those of the D products."""
FLOAT32_ROUNDING = 2.0**-24
"""Largest relative error of an addition in float32."""
TENSOR_CORE_ROUNDING = 2.0**-22
"""The same of a GPU's tensor cores, which round towards 0 and drop bits of the smaller numbers."""
MARGIN = 1.01
"""Factor of the norms: more than the error of computing them, and than the sum's of their terms."""
ROUNDED_UP = 1 + 2.0**-7
"""Factor after which rounding to bfloat16 gives no less than the number before."""
SMALLEST_LIMIT = 2.0**-90
"""Underflow is less than the last place of this number in bfloat16."""
TRIED = (1024, 512)
"""Rows and columns of the products that are timed."""
MOST_TRIED = 512
"""Most dimensions of them."""
ROUNDS = 10
"""Of both products, of which the first loads what is needed, and the fastest counts."""
PAYS = 0.7
"""Share of the time of a float32 product up to which a bfloat16 product is used."""


def lowered(left: Tensor, right: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
    """Return bfloat16 factors, (K, D + 8), whose product is at most the distance of every pair.

    Parameters
    ----------
    left, right
        (K, D + 2) float32 factors of `rayred.linkage.pairs.cluster_factors`, after `widen`.
    rounding
        `FLOAT32_ROUNDING` if they are multiplied on a CPU, `TENSOR_CORE_ROUNDING` elsewhere.
    """
    d = left.shape[1] - 2
    gamma = (d + ROUNDED) * rounding
    low_left, low_right = (
        empty((len(left), d + EXTRA), torch.bfloat16, left.device) for _ in range(2)
    )
    norm_K, rest_K = left.new_empty(len(left)), left.new_empty(len(left))
    for block in row_blocks(left):
        y_KD, h_KD = left[block, :d], low_right[block, :d]
        h_KD.copy_(y_KD)
        torch.neg(h_KD, out=low_left[block, :d])
        norm_K[block] = torch.linalg.vector_norm(y_KD, dim=1)
        rest_K[block] = torch.linalg.vector_norm(y_KD - h_KD, dim=1)
    norm_K = MARGIN * (norm_K + rest_K)  # of h, at most
    rest_K = MARGIN * rest_K
    low_left[:, d : d + 3] = _parts(-left[:, d], gamma)
    low_right[:, d + 3 : d + 6] = _parts(right[:, d + 1], gamma)
    low_left[:, d + 3 : d + 6] = low_right[:, d : d + 3] = 1
    low_left[:, d + 6 :] = -_up(torch.stack([rest_K + gamma * norm_K, norm_K + rest_K], 1))
    low_right[:, d + 6 :] = _up(torch.stack([norm_K, rest_K], 1))
    return low_left, low_right


def _up(values: Tensor) -> Tensor:
    """Return numbers of 0 or more in bfloat16, none smaller than before."""
    return (ROUNDED_UP * values).bfloat16()


def _parts(a_K: Tensor, gamma: float) -> Tensor:
    """Return three bfloat16 numbers whose sum is a little less than each number, (K, 3)."""
    rest_K = a_K.double()
    rest_K = rest_K - 3 * gamma * rest_K.abs()
    parts = []
    for _ in range(3):
        parts.append(rest_K.bfloat16())
        rest_K = rest_K - parts[-1].double()
    return torch.stack(parts, 1)


def lowered_limit(limit: float) -> int:
    """Return the bits, as int16, up to which entries of the product are candidates.

    Numbers of 0 and more are in the order of their bits, and the bits of negative ones are negative
    integers: all of them are candidates, as they should be.
    """
    exact = torch.tensor(max(limit, SMALLEST_LIMIT), dtype=torch.float64, device="cpu")
    rounded = exact.bfloat16()
    return int(rounded.view(torch.int16)) + 1


def added_share(
    full: tuple[Tensor, Tensor], low: tuple[Tensor, Tensor], rows: Tensor, limit: float
) -> float:
    """Return how many pairs bfloat16 factors add to those within a limit, as a share of all pairs.

    Parameters
    ----------
    full, low
        Two factors in float32, after `widen`, and what `lowered` makes of them.
    rows
        Positions of the clusters whose pairs are looked at, with all others.
    limit
        Largest distance wanted.
    """
    near = int((full[0][rows] @ full[1].T >= -limit).sum())
    found = int(((low[0][rows] @ low[1].T).view(torch.int16) <= lowered_limit(limit)).sum())
    return (found - near) / (len(rows) * len(full[0]))


@cache
def lowering_pays(device: torch.device, dimensions: int) -> bool:
    """Return whether products of bfloat16 factors are faster here than those of float32 factors."""
    d = min(dimensions, MOST_TRIED)
    kinds = ((torch.float32, d + 2), (torch.bfloat16, d + EXTRA))
    # In turn, so that other work on the machine slows both.
    rounds = [[_product_seconds(*kind, device) for kind in kinds] for _ in range(ROUNDS)]
    full, low = np.min(rounds, axis=0).tolist()
    return bool(low < PAYS * full)


def _product_seconds(dtype: torch.dtype, columns: int, device: torch.device) -> float:
    """Return the seconds of a product."""
    left, right = (torch.ones(n, columns, dtype=dtype, device=device) for n in TRIED)
    out = torch.empty(TRIED, dtype=dtype, device=device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    torch.mm(left, right.T, out=out)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started

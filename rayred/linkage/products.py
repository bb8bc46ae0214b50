"""Which products are computed to find pairs: of which rows, and in which precision.

Legend: K clusters, D dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rayred.linkage.boxes import Boxes
from rayred.linkage.lowered import (
    FLOAT32_ROUNDING,
    TENSOR_CORE_ROUNDING,
    added_share,
    lowered,
    lowering_pays,
)
from rayred.linkage.settings import EngineSettings

LOWERED_FROM = 512
"""Number of clusters from which on products in bfloat16 may pay, and clusters to a sampled one."""
MOST_SAMPLED = 64
"""Most clusters whose pairs tell how many bfloat16 products would add."""
MOST_ADDED = 0.003
"""Most pairs, as a share of the products, that bfloat16 may add to those to be measured.

To measure one takes as long as what they save on 250 or more entries.
"""
SAMPLED_ROWS = 4096
"""Rows whose boxes tell whether those of all rows are worth making."""
MOST_NEAR = 0.7
"""Largest share of the products left by boxes for which these are used."""
LARGEST_DISTANCE = 2.0
"""Of unit rows."""


def products_that_pay(
    left: Tensor,
    right: Tensor,
    limit: float,
    settings: EngineSettings,
    together: int,
) -> tuple[Tensor, Tensor, Boxes | None]:
    """Return the factors whose product takes the least time, and finds the same pairs.

    Parameters
    ----------
    left, right
        (K, D + 2) float32 factors of `rayred.linkage.pairs.cluster_factors`, after `widen`.
    limit
        Largest distance wanted.
    settings
        Settings of the engine.
    together
        Number of rows that a block of the product has.

    Returns
    -------
    left, right
        Float32 factors, or bfloat16 factors (K, D + 8), in the order of the boxes if there are any.
    boxes
        The boxes of the clusters' mean rows, if enough of them are far apart. The mean distance of
        two clusters is at least that of their mean rows.
    """
    boxes, share = None, 1.0
    if len(left) >= settings.boxes_from and limit < LARGEST_DISTANCE:
        boxes, share = _boxes_that_pay(left[:, :-2], limit, together)
    if boxes is not None:
        order = boxes.order.to(left.device)
        left, right = left[order], right[order]
    return *_in_precision(left, right, limit, settings, share), boxes


def _boxes_that_pay(y: Tensor, limit: float, together: int) -> tuple[Boxes | None, float]:
    """Return the boxes of rows and the share of the products that they leave.

    `None` and 1 if that share is too large. The boxes of a sample come first: a leaf of it holds
    the sampled rows of a full leaf, so boxes are smaller. If even they leave too much, those of
    all rows are not made.
    """
    n, sampled = len(y), min(len(y), SAMPLED_ROWS)
    sample = torch.linspace(0, n - 1, sampled, dtype=torch.float64, device=y.device).long()
    for rows in (y[sample], y):
        part = len(rows) / n
        boxes = Boxes.of(rows, part)
        share = boxes.share_near(limit, max(1, int(part * together)))
        if share > MOST_NEAR:
            return None, 1.0
    return boxes, share


def _in_precision(
    left: Tensor, right: Tensor, limit: float, settings: EngineSettings, share: float
) -> tuple[Tensor, Tensor]:
    """Return float32 factors, or bfloat16 factors where these take less time.

    `share` is that of the products which are computed.
    """
    k, precision = len(left), settings.precision
    if precision == "float32":
        return left, right
    if precision == "auto" and not (
        k >= LOWERED_FROM and lowering_pays(left.device, left.shape[1] - 2)
    ):
        return left, right
    elsewhere = settings.find is not None and k >= settings.find_from
    rounding = TENSOR_CORE_ROUNDING if left.is_cuda or elsewhere else FLOAT32_ROUNDING
    low = lowered(left, right, rounding)
    if precision == "bfloat16":
        return low
    sampled = min(MOST_SAMPLED, k // LOWERED_FROM)
    sample = torch.linspace(0, k - 1, sampled, dtype=torch.float64, device=left.device).long()
    added = added_share((left, right), low, sample, limit)
    return low if added <= MOST_ADDED * share else (left, right)

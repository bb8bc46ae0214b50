"""Which entries of a block of a product are candidates: nearly none of them, found in little time.

Legend: B rows and C columns of the block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rayred.linkage.lowered import lowered_limit

FLAGGED = 0.06
"""Share of the rows that have a candidate from which on all rows are looked at again."""


def entries_from(product: Tensor, least: float, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the entries of at least `least`; overwrites both tensors.

    Parameters
    ----------
    product
        (B, C) float32.
    least
        The least entry wanted.
    mask
        (B, C) booleans.
    """
    if product.is_cuda:
        torch.ge(product, least, out=mask)
    else:
        # In place first: torch has vector code for each of the two steps, but not for both in one.
        mask.copy_(product.ge_(least))
    return _true_entries(mask)


def entries_upto(product: Tensor, limit: float, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the entries that may be within a limit; overwrites both tensors.

    Parameters
    ----------
    product
        (B, C) bfloat16, the product of factors of `rayred.linkage.lowered.lowered`.
    limit
        Largest distance wanted.
    mask
        (B, C) booleans.
    """
    most = lowered_limit(limit)
    bits = product.view(torch.int16)
    # To find the least entry of each row is the fastest way to leave most rows alone.
    rows = (bits.amin(1) <= most).nonzero().squeeze(1)
    if len(rows) > FLAGGED * len(bits):
        mask.copy_(bits.le_(most))
        return _true_entries(mask)
    i, j = (bits[rows] <= most).nonzero(as_tuple=True)
    return rows[i], j


def _true_entries(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the true entries of a mask that is false nearly everywhere.

    The same as ``mask.nonzero(as_tuple=True)``, but reads eight entries at a time first.
    """
    width = mask.shape[1]
    if width % 8:
        i, j = mask.nonzero(as_tuple=True)
        return i, j
    words = mask.view(torch.int64).flatten().nonzero().squeeze(1)
    word, byte = mask.flatten().view(-1, 8)[words].nonzero(as_tuple=True)
    entry = words[word] * 8 + byte
    return entry // width, entry % width

"""Which entries of a block of a product are candidates: nearly none of them, found in little time.

Legend: B rows and C columns of the block.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FLAGGED = 0.2
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


def entries_upto(product: Tensor, most: int, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the entries whose bits are at most a number; overwrites both.

    Parameters
    ----------
    product
        (B, C) bfloat16, the product of factors of `rayred.linkage.lowered.lowered`.
    most
        What `rayred.linkage.lowered.lowered_limit` returns.
    mask
        (B, C) booleans.
    """
    bits = product.view(torch.int16)
    # To find the least entry of each row is the fastest way to leave most rows alone.
    flagged = bits.amin(1) <= most
    rows = _true_places(flagged)
    if len(rows) > FLAGGED * len(bits):
        mask.copy_(bits.le_(most))
        return _true_entries(mask)
    if product.is_cuda:
        i, j = _true_entries(bits[rows] <= most)
    else:  # short steps, each of which NumPy begins in less time than torch
        few = bits.numpy()[rows.numpy()] <= np.int16(most)
        places = np.divmod(np.flatnonzero(few), few.shape[1])
        i, j = (torch.from_numpy(place) for place in places)
    return rows[i], j


def _true_entries(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the true entries of a contiguous mask, as `nonzero` does."""
    places, width = _true_places(mask.view(-1)), mask.shape[1]
    return places // width, places % width


def _true_places(flat: Tensor) -> Tensor:
    """Return where a mask of one dimension is true.

    NumPy finds the places in a fraction of the time that torch takes, as long as they are few.
    """
    if flat.is_cuda:
        return flat.nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(flat.numpy()))

"""The near pairs of one large class, found by all workers.

Legend: K clusters, D embedding dimensions, R near pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.clustering.maps import TASKS_A_WORKER, Map
from rayred.linkage.boxes import Boxes
from rayred.linkage.pairs import even_strips, near_pairs


@dataclass(frozen=True)
class PairFinder:
    """Finds the near pairs of one large class by all workers, each in strips of rows."""

    map: Map[tuple[int, int], tuple[NDArray[np.int64], NDArray[np.int64]] | None]
    workers: int
    device: str | None

    def __call__(
        self,
        left: Tensor,
        right: Tensor,
        limit: float,
        block: tuple[int, int],
        boxes: Boxes | None,
        most: int,
        report: Callable[[float], None],
    ) -> tuple[Tensor, Tensor] | None:
        """Return all pairs that `rayred.linkage.pairs.near_pairs` yields, (R,) rows each.

        If there are more than `most`, `None`.
        """
        strips = even_strips(len(left), TASKS_A_WORKER * self.workers)
        factors = tuple(_as_numbers(factor) for factor in (left, right))
        find = partial(_pairs_of_strip, factors, limit, block, boxes, most, self.device)
        parts = []
        found = 0
        for part in self.map(find, strips):
            found += most + 1 if part is None else len(part[0])
            if found > most:
                return None
            parts.append(part)
            report(len(parts) / len(strips))
        i, j = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        return torch.from_numpy(i), torch.from_numpy(j)


def _as_numbers(factor: Tensor) -> NDArray[np.generic]:
    """Return a factor as an array; NumPy has the bits of bfloat16 numbers only."""
    numbers: NDArray[np.generic] = (
        factor.view(torch.int16) if factor.dtype == torch.bfloat16 else factor
    ).numpy()
    return numbers


def _pairs_of_strip(
    factors: tuple[NDArray[np.generic], ...],
    limit: float,
    block: tuple[int, int],
    boxes: Boxes | None,
    most: int,
    device: str | None,
    strip: tuple[int, int],
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the near pairs of one strip of rows with all rows after them, at most so many."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    left, right = (
        torch.tensor(factor, device=device).view(
            torch.bfloat16 if factor.dtype == np.int16 else torch.float32
        )
        for factor in factors
    )
    i: list[Tensor] = [torch.empty(0, dtype=torch.int64, device="cpu")]
    j = i.copy()
    found = 0
    for rows, columns in near_pairs(left, right, limit, block, strip, boxes):
        found += len(rows)
        if found > most:
            return None
        i.append(rows.cpu())
        j.append(columns.cpu())
    return torch.cat(i).numpy(), torch.cat(j).numpy()

"""Rows in boxes: two boxes that are far apart have no near pair, and need not be multiplied.

Legend: N rows, D dimensions, C coordinates, L leaves.

Rows are projected onto a few principal directions and halved at the median of the widest
coordinate, again and again, into leaves. For the projection P of rows y and y',
‖P(y − y')‖ ≤ s ‖y − y'‖, with s² ≤ 1 + ‖PPᵀ − I‖, which is measured. So where two boxes are more
than s √(2t) apart, no pair of theirs is within t. Coordinates are computed in float64 and kept in
float32: together with the rounding of the rows to float32 and of the gap of two boxes, the error of
a gap is less than 64 · 2⁻²⁴ of the longest row.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rayred.linkage.lowered import FLOAT32_ROUNDING
from rayred.linkage.rows import row_blocks

LEAF_ROWS = 256
"""Most rows of a leaf."""
COORDINATES = 16
"""Most principal directions."""
SAMPLED_ROWS = 2048
"""Rows that the principal directions are found from."""
ITERATIONS = 3
"""Of the search for them, which need not be exact."""
GAP_ROUNDING = 64 * FLOAT32_ROUNDING
"""Largest error of a gap, as a share of the length of the longest row."""
SMALLEST_GAP = 2.0**-100
"""More than what underflows."""
SAMPLED_PARTS = 16
"""Parts of the rows of which it is looked at how many leaves are near."""


@dataclass(frozen=True)
class Boxes:
    """Leaves of rows, and the box of each; all on the CPU."""

    order: Tensor
    """(N,) int64, the rows leaf after leaf."""
    edges: list[int]
    """The place of the first row of each leaf in that order, and N."""
    low: Tensor
    """(L, C) float32, the least coordinates of each leaf's rows."""
    high: Tensor
    """(L, C) float32, the largest."""
    stretch: float
    """How many times longer a difference of rows may become by the projection."""
    error: float
    """Largest error of the gap of two boxes."""

    @classmethod
    def of(cls, y_ND: Tensor, share: float = 1.0) -> Boxes:
        """Put rows into boxes.

        Parameters
        ----------
        y_ND
            (N, D) float32, about centred.
        share
            Share of all rows that these are, if they are a sample. Leaves hold that share of
            `LEAF_ROWS`.
        """
        directions_DC = _directions(y_ND)
        product = directions_DC.T @ directions_DC
        excess = torch.linalg.matrix_norm(product - torch.eye(len(product)).to(product))
        coordinates_NC = torch.cat(
            [(y_ND[block].double().cpu() @ directions_DC).float() for block in row_blocks(y_ND)]
        )
        leaves = _leaves(coordinates_NC, max(1, int(share * LEAF_ROWS)))
        boxes = [coordinates_NC[rows].aminmax(dim=0) for rows in leaves]
        longest = float(torch.linalg.vector_norm(y_ND, dim=1).max())
        return cls(
            torch.cat(leaves),
            np.cumsum([0, *map(len, leaves)]).tolist(),
            torch.stack([box.min for box in boxes]),
            torch.stack([box.max for box in boxes]),
            math.sqrt(1 + float(excess)),
            GAP_ROUNDING * longest + SMALLEST_GAP,
        )

    def near(self, limit: float, first: int, end: int) -> Tensor:
        """Return where the rows are that may be within a limit of some rows, and not before them.

        Parameters
        ----------
        limit
            Largest distance, 0 to 2.
        first, end
            The places of the first of some rows, and of the one after the last.

        Returns
        -------
        places
            int64 ascending, `first` or more.
        """
        one, last = bisect_right(self.edges, first) - 1, bisect_right(self.edges, end - 1)
        low, high = self.low[one:last].unsqueeze(1), self.high[one:last].unsqueeze(1)
        gap = torch.maximum(low - self.high[one:], self.low[one:] - high).clamp_(min=0)
        reach = (self.stretch * math.sqrt(2 * max(limit, 0)) + self.error) * (1 + 2.0**-20)
        near = (torch.linalg.vector_norm(gap, dim=2) <= reach).any(0)
        edges = torch.tensor(self.edges[one:], device="cpu")
        near_rows = torch.repeat_interleave(near, edges.diff())[first - self.edges[one] :]
        return near_rows.nonzero().squeeze(1) + first

    def share_near(self, limit: float, rows: int) -> float:
        """Return the share of the pairs of rows that is left, from a sample.

        Parameters
        ----------
        limit
            Largest distance.
        rows
            Number of rows that are looked at together.
        """
        n = self.edges[-1]
        firsts = np.linspace(0, max(0, n - rows), SAMPLED_PARTS).astype(int).tolist()
        left = sum(len(self.near(limit, first, min(first + rows, n))) for first in firsts)
        return float(left / sum(n - first for first in firsts))


def _directions(y_ND: Tensor) -> Tensor:
    """Return about the principal directions, (D, C) float64: orthonormal but for rounding."""
    n, d = y_ND.shape
    places = np.linspace(0, n - 1, min(n, SAMPLED_ROWS)).astype(int)
    sample_SD = y_ND[torch.from_numpy(places).to(y_ND.device)].double().cpu()
    start = np.random.default_rng(0).standard_normal((d, min(d, COORDINATES)))
    found_DC = torch.from_numpy(start)
    for _ in range(ITERATIONS):
        found_DC = torch.linalg.qr(sample_SD.T @ (sample_SD @ found_DC)).Q
    return found_DC


def _leaves(coordinates_NC: Tensor, leaf_rows: int) -> list[Tensor]:
    """Return the rows of each leaf, int64."""
    waiting = [torch.arange(len(coordinates_NC), device="cpu")]
    leaves = []
    while waiting:
        rows = waiting.pop()
        if len(rows) <= leaf_rows:
            leaves.append(rows)
            continue
        low, high = coordinates_NC[rows].aminmax(dim=0)
        widest = coordinates_NC[rows, int((high - low).argmax())]
        by_width, half = rows[widest.argsort()], len(rows) // 2
        waiting += [by_width[half:], by_width[:half]]
    return leaves

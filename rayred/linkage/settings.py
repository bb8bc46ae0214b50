"""Settings of the complete-linkage engine.

Legend: K clusters, D dimensions, E pairs of clusters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from rayred.linkage.boxes import Boxes

Precision: TypeAlias = Literal["auto", "bfloat16", "float32"]
PRECISIONS = get_args(Precision)
PairFinder: TypeAlias = (
    "Callable[[Tensor, Tensor, float, tuple[int, int], Boxes | None, int,"
    " Callable[[float], None]], tuple[Tensor, Tensor] | None]"
)
"""A function that finds all near pairs of a group, for example on several machines.

It is called with ``left, right, limit, block, boxes`` of `rayred.linkage.pairs.near_pairs`, two
factors of K rows in float32 or bfloat16 among them; the largest number of pairs that fit into
memory; and a function to call with the share that is done, 0 to 1. It returns i and j, two (E,)
int64 tensors: all pairs that `near_pairs` would yield, in any order. If they do not fit, it returns
`None`, and the engine finds the lowest that do.
"""


@dataclass(frozen=True)
class EngineSettings:
    """How the engine computes; no setting changes the tree.

    >>> settings = EngineSettings(device="cpu", block=(1024, 512))
    >>> settings.torch_device()
    device(type='cpu')
    """

    device: str | None = None
    """Torch device, for example ``cpu`` or ``cuda:1``; `None`: a GPU if torch finds one."""
    block: tuple[int, int] | None = None
    """Rows and columns of the matrix product in memory at a time; `None`: by the kind of device."""
    first_distance: float | None = None
    """Cosine distance t up to which the first stage looks for pairs; `None`: from a sample."""
    precision: Precision = "auto"
    """Of the products that find pairs which may be near, all of which are measured in float64.
    auto: bfloat16 where this machine multiplies it faster and it adds few such pairs."""
    boxes_from: int = 20_000
    """Number of clusters of a group from which on those far apart may be told by boxes."""
    pairs_bytes: int = 2**31
    """Memory that pairs may take, beside the rows. A group whose near pairs are a large share of
    all its pairs is merged from all at once if these fit: 2 GiB are enough for 10,000 rows. Of a
    larger group, the lowest near pairs that fit are merged first, then the next."""

    find: PairFinder | None = None
    """Finds the near pairs of large groups; `None`: the engine does, on its own device."""
    find_from: int = 50_000
    """Number of clusters from which on a group is large, for `find`."""
    progress: Callable[[str, float], None] | None = None
    """Called with what is being done and the share of it, 0 to 1, that is done, for example with
    "1,200 of 9,000 merges, near pairs of 8,800 clusters" and 0.25. All groups that are clustered
    side by side count together; other stages are "31,000 near pairs", which are merged, and "all
    pairs of 5,000 rows". It may be called by other threads, but by one at a time."""

    def __post_init__(self) -> None:
        if self.first_distance is not None and not 0 <= self.first_distance < math.inf:
            raise ValueError(f"first_distance is {self.first_distance!r}; expected 0 or more")
        sizes = {"block": self.block or (), "find_from": (self.find_from,)}
        for name, values in sizes.items():
            if not all(type(value) is int and value > 0 for value in values):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected positive integers")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision is {self.precision!r}; expected one of {', '.join(PRECISIONS)}"
            )
        if type(self.pairs_bytes) is not int or self.pairs_bytes < 0:
            raise ValueError(f"pairs_bytes is {self.pairs_bytes!r}; expected an integer from 0 on")

    def torch_device(self) -> torch.device:
        """Return the device to compute on."""
        import torch  # here, so that the settings alone load no torch

        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))

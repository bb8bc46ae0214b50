"""A worker of a training: its device, and its share of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.distributed
from torch import Tensor


@dataclass(frozen=True)
class Shard:
    """The part of every batch that one worker takes: rows rank, rank + world and so on."""

    rank: int = 0
    """Number of the worker, from 0."""
    world: int = 1
    """Number of workers."""

    @property
    def rows(self) -> slice:
        """The rows of a whole batch that belong to this worker."""
        return slice(self.rank, None, self.world)

    def weight(self, batch_size: int) -> float:
        """Return what this worker's mean over its rows of a batch counts in a mean of workers.

        So that the mean over the workers is that over the batch: exactly 1 where all have as many
        rows.
        """
        rows = len(range(batch_size)[self.rows])
        return rows * self.world / batch_size


def _nothing() -> None:
    """Return that no machine is announced to be taken away."""


@dataclass(frozen=True)
class Worker:
    """Where a training runs; by default all of it, on the CPU.

    Where there are several workers, each is a process of the default `torch.distributed` group.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    shard: Shard = field(default_factory=Shard)
    announced: Callable[[], object] = _nothing
    """Returns which machines of the workers will be taken away soon; None if none is known.

    It is the same for all workers, all of which have to call it.
    """

    def mean(self, total: Tensor, count: int) -> float:
        """Return the sum of all workers' totals over the sum of their counts.

        Waits for the other workers, all of which have to call this.
        """
        both = torch.stack([total.double(), torch.tensor(count, dtype=torch.float64).to(total)])
        if self.shard.world > 1:
            torch.distributed.all_reduce(both)
        return float(both[0] / both[1])

    def joined(self, values: Tensor) -> Tensor:
        """Return the values of all workers, in place; each has zeros but at `Shard.rows`.

        Waits for the other workers, all of which have to call this.
        """
        if self.shard.world > 1:
            torch.distributed.all_reduce(values)
        return values

"""Tensors that the workers of a training hand to each other, many times a step.

Workers of one node do it through memory that they share: over the network, which is how
torch.distributed does it on CPUs, a turn takes a tenth of a millisecond at best, and up to two.

Legend: W workers.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import torch
import torch.distributed
from torch import Tensor

SHARED = Path("/dev/shm")
PATIENCE_SECONDS = 1800.0
"""How long a worker waits for the others, which is what torch.distributed does as well."""
SPIN_SECONDS = 0.001
"""How long a worker looks again and again before it rests in between."""
LINE = 64
"""Bytes of a cache line: flags of different workers lie in different ones."""
LARGEST = 2**21
"""Bytes that a worker can hand on in one turn. Room for twice that many is taken a worker."""

Gather = Callable[[Tensor], Tensor]
"""Takes a worker's tensor and returns those of all workers, (W, ...), by rank."""


def gather_over_network(own: Tensor) -> Tensor:
    """Gather by torch.distributed."""
    everyones = own.new_empty(torch.distributed.get_world_size(), *own.shape)
    torch.distributed.all_gather(list(everyones), own)
    return everyones


def shared_gather() -> Gather | None:
    """Return how to gather through shared memory; none if not all workers share some.

    All workers of the process group have to call it, and then what it returns, at the same time.
    It takes tensors of up to `LARGEST` bytes.
    """
    memory = _shared_memory()
    return None if memory is None else _SharedGather(memory)


def _shared_memory() -> Tensor | None:
    """Return zeros that all workers share; none where they cannot, as on different nodes."""
    world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
    size = world * LINE + 2 * world * LARGEST
    # The flags below rely on stores being seen in order, as on x86.
    possible = platform.machine() == "x86_64" and SHARED.is_dir()
    with ExitStack() as until_all_have_it:
        name = [""]
        if rank == 0 and possible:
            with suppress(OSError):
                file = until_all_have_it.enter_context(
                    tempfile.NamedTemporaryFile(prefix="rayred-", dir=SHARED)
                )
                os.posix_fallocate(file.fileno(), 0, size)  # fails where memory is full
                name = [file.name]
        torch.distributed.broadcast_object_list(name)
        memory = None
        if name[0] and possible and Path(name[0]).exists():
            with suppress(OSError, RuntimeError):
                memory = torch.from_file(name[0], shared=True, size=size, dtype=torch.uint8)
        opened: list[bool | None] = [None] * world
        torch.distributed.all_gather_object(opened, memory is not None)
    return memory if all(opened) else None


class _SharedGather:
    """Every worker has a place to write to and a flag that says which turn it has written.

    Turns use two sets of places by turns: whoever writes turn t + 2 has seen all flags at t + 1,
    and so knows that everyone has read turn t.
    """

    def __init__(self, memory: Tensor) -> None:
        self.rank = torch.distributed.get_rank()
        self.world = torch.distributed.get_world_size()
        self.flags = memory[: self.world * LINE].view(torch.int64)[:: LINE // 8].numpy()
        self.places = memory[self.world * LINE :].view(2, self.world, LARGEST)
        self.turn = 0

    def __call__(self, own: Tensor) -> Tensor:
        self.turn += 1
        places = self.places[self.turn % 2, :, : own.nbytes]
        places[self.rank] = own.flatten().view(torch.uint8)
        self.flags[self.rank] = self.turn
        began = time.monotonic()
        while self.flags.min() < self.turn:
            waited = time.monotonic() - began
            if waited < SPIN_SECONDS:
                os.sched_yield()
            elif waited < PATIENCE_SECONDS:
                time.sleep(SPIN_SECONDS / 10)  # other threads have work to do
            else:
                raise RuntimeError("another worker has not come as far for half an hour")
        return places.clone().view(own.dtype).view(self.world, *own.shape)

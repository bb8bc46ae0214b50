"""Data parallel training: W workers train a network as one does with the same batches."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rayred.training.sync_norm import synchronise


def data_parallel(model: nn.Module, device: torch.device) -> DistributedDataParallel:
    """Return a network that all workers of the default process group train together.

    Gradients are means over the workers, and batch norms use the statistics of the whole batch. The
    loss of each worker has to be weighted by its share of the batch, see `Shard.weight`. All
    workers have to call this at the same time.

    Parameters
    ----------
    model
        The network, on the device; its batch norms are replaced, its weights stay its own.
    device
        A CPU or GPU of this worker's own.
    """
    if device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    else:
        synchronise(model)
    # The buffers, statistics of batch norms, are equal on all workers without a broadcast.
    return DistributedDataParallel(
        model, device_ids=[device] if device.type == "cuda" else None, forward_sync_buffers=False
    )

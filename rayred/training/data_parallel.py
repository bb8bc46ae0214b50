"""Data parallel training: W workers train a network as one does with the same batches."""

# No postponed annotations here: torch looks at those of a communication hook.

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed import GradBucket, ProcessGroup  # type: ignore[attr-defined]
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from rayred.training.gathering import LARGEST, Gather, gather_over_network, shared_gather
from rayred.training.sync_norm import synchronise


def data_parallel(
    model: nn.Module, device: torch.device, wrap: Callable[[nn.Module], nn.Module]
) -> nn.Module:
    """Return a network that all workers of the process group train together.

    Gradients are means over the workers, who all have equal shares of every batch, and batch norms
    see all of it. All workers have to call this at the same time.

    Parameters
    ----------
    model, device
        The network, and where it is.
    wrap
        Makes a `DistributedDataParallel` of it.
    """
    if device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        shared = None
    else:
        shared = shared_gather()
        # Compiled, it would not keep the order of what is written and read.
        gather = torch.compiler.disable(shared or gather_over_network)  # type: ignore[no-untyped-call]
        synchronise(model, gather)
    together = cast(DistributedDataParallel, wrap(model))
    # Its buffers, batch norms' statistics, are the same on all workers anyhow.
    together.broadcast_buffers = False
    if shared:
        together.register_comm_hook(shared, _mean_gradients)
    return together


def _mean_gradients(gather: Gather, bucket: GradBucket) -> Future[Tensor]:
    """Average a bucket of gradients: in shared memory if it is small, so that latency decides."""
    gradients = bucket.buffer()
    if gradients.nbytes > LARGEST:
        return allreduce_hook(cast(ProcessGroup, torch.distributed.group.WORLD), bucket)
    mean: Future[Tensor] = Future()
    mean.set_result(gather(gradients).mean(0))
    return mean

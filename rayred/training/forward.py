"""The forward pass of a training: of one network, alone or data parallel, or of a pack; compiled.

Legend: B images of a batch, C channels, H × W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from rayred.models import Classifier
from rayred.training.compiled import compiled
from rayred.training.data_parallel import data_parallel
from rayred.training.packed import PackedModels
from rayred.training.worker import Worker

Forward = Callable[[list[Tensor]], Sequence[Tensor]]
"""Takes one batch for each network, (B, C, H, W) uint8, and returns its logits, (B, K)."""


def forward_of(models: Sequence[Classifier], worker: Worker, is_compiled: bool) -> Forward:
    """Return the forward pass of the networks of a training.

    Parameters
    ----------
    models
        One network, or those of a pack, in training mode.
    worker
        This worker; a pack has one only.
    is_compiled
        Compile the pass by torch.compile.
    """
    if len(models) > 1:
        return PackedModels(models, is_compiled)
    several = worker.shard.world > 1
    network = data_parallel(models[0], worker.device) if several else models[0]
    if not is_compiled:
        return lambda batches: [network(batches[0])]
    # Several workers exchange gradients while others are computed, not after a whole graph.
    logits = compiled(network, as_cuda_graph=worker.device.type == "cuda" and not several)
    return lambda batches: [logits(batches[0])]

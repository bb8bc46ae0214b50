"""Several networks of one architecture as one batched network; README.md here explains it.

Legend: P networks, B images of a batch each, C channels, H × W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor
from torch.func import functional_call

from rayred.models import Classifier
from rayred.training.compiled import compiled


class PackedModels:
    """The forward pass of models that differ in their weights alone.

    Parameters and buffers stay the models' own: they are stacked for each pass, gradients flow back
    to them, and the running statistics of batch norm are written back to them.
    """

    def __init__(self, models: Sequence[Classifier], is_compiled: bool) -> None:
        """Prepare the pass; nothing is copied from the models yet.

        Parameters
        ----------
        models
            P models, in training mode.
        is_compiled
            Compile the batched pass.
        """
        self.models = models
        skeleton = deepcopy(models[0].network).to("meta").train()

        def one(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
            logits: Tensor = functional_call(skeleton, (weights, buffers), x)
            return logits

        together = torch.vmap(one)
        # No CUDA graph: batch norms' statistics are stacked afresh for every pass.
        self._together = compiled(together, as_cuda_graph=False) if is_compiled else together

    def __call__(self, batches: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the logits of each model for its batch, P tensors (B, K).

        Parameters
        ----------
        batches
            P tensors (B, C, H, W) uint8.
        """
        networks = [model.network for model in self.models]
        weights = _stacked([dict(network.named_parameters()) for network in networks])
        own = [dict(network.named_buffers()) for network in networks]
        buffers = _stacked(own)
        x_PBCHW = torch.stack([self.models[0].normalise(x_BCHW) for x_BCHW in batches])
        logits_PBK = self._together(weights, buffers, x_PBCHW)
        for name, values in buffers.items():
            for buffer, value in zip(own, values, strict=True):
                buffer[name].copy_(value)
        return logits_PBK.unbind()


def _stacked(tensors: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in tensors]) for name in tensors[0]}

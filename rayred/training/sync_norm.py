"""Batch norm over the batches of all workers, on CPUs, where `torch.nn.SyncBatchNorm` does not run.

Legend: W workers, B images a worker, C channels, H × W pixels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn


def synchronise(model: nn.Module) -> None:
    """Replace every batch norm of a model by one over the batches of all workers."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, SyncedBatchNorm2d(child))


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm by the statistics of all workers' images; a worker may have more than another."""

    def __init__(self, like: nn.BatchNorm2d) -> None:
        """Take over the parameters and running statistics of another batch norm."""
        super().__init__(like.num_features, like.eps, like.momentum)
        self.weight, self.bias = like.weight, like.bias
        self.running_mean, self.running_var = like.running_mean, like.running_var
        # torch.compile cannot trace it, and would try again for every batch norm.
        self._normalise = torch.compiler.disable(_NormaliseTogether.apply)  # type: ignore[no-untyped-call]

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise by the statistics of the whole batch; in evaluation by the running ones."""
        if not self.training:
            return super().forward(x_BCHW)
        y_BCHW: Tensor
        y_BCHW, mean_C, variance_C = self._normalise(
            x_BCHW.to(self.weight.dtype), self.weight, self.bias, self.eps
        )
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            self.running_mean.lerp_(mean_C, self.momentum or 0.0)
            self.running_var.lerp_(variance_C, self.momentum or 0.0)
        return y_BCHW.to(x_BCHW.dtype)


class _NormaliseTogether(torch.autograd.Function):
    """Source: Ioffe and Szegedy, Batch Normalization (arXiv 1502.03167), section 3."""

    @staticmethod
    def forward(
        ctx: Any, x_BCHW: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean_C, variance_C = torch.batch_norm_update_stats(x_BCHW, None, None, 0.0)
        own = torch.cat([mean_C, variance_C, x_BCHW.new_full((1,), len(x_BCHW))])
        ends = [len(mean_C), 2 * len(mean_C)]
        means_WC, variances_WC, images_W1 = _gather(own).tensor_split(ends, 1)
        # Relative to the first worker's: where all have as many images, each counts exactly once.
        shares_W1 = images_W1 / images_W1[0]
        shares = shares_W1.sum()
        mean_C = (shares_W1 * means_WC).sum(0) / shares
        variance_C = (shares_W1 * (variances_WC + (means_WC - mean_C).square())).sum(0) / shares
        y_BCHW = F.batch_norm(x_BCHW, mean_C, variance_C, weight_C, bias_C, eps=eps)
        ctx.save_for_backward(x_BCHW, weight_C, mean_C, (variance_C + eps).rsqrt())
        ctx.pixels = float(images_W1.sum()) * x_BCHW[0, 0].numel()
        unbiased_C = variance_C * (ctx.pixels / (ctx.pixels - 1))
        ctx.mark_non_differentiable(mean_C, unbiased_C)
        return y_BCHW, mean_C, unbiased_C

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        dy_BCHW = gradients[0]
        x_BCHW, weight_C, mean_C, scale_C = ctx.saved_tensors
        # Sums over this worker's images, where x' = (x − mean) · scale.
        _, dy_x_C, dy_C = torch.ops.aten.native_batch_norm_backward(
            dy_BCHW, x_BCHW, weight_C, None, None, mean_C, scale_C, True, 0.0, [False, True, True]
        )
        mean_dy_C, mean_dy_x_C = _gather(torch.stack([dy_C, dy_x_C])).sum(0) / ctx.pixels
        # dx = (dy − mean dy − x' · mean of dy x') · scale · weight
        of_dy_C = scale_C * weight_C
        of_x_C = -of_dy_C * scale_C * mean_dy_x_C
        rest_C = -of_dy_C * mean_dy_C - of_x_C * mean_C
        dy_C11, x_C11, rest_C11 = (v[:, None, None] for v in (of_dy_C, of_x_C, rest_C))
        dx_BCHW = torch.addcmul(rest_C11, x_BCHW, x_C11).addcmul_(dy_BCHW, dy_C11)
        return dx_BCHW, dy_x_C, dy_C, None


def _gather(own: Tensor) -> Tensor:
    """Return the tensors of all workers, (W, ...), by rank."""
    everyones = own.new_empty(torch.distributed.get_world_size(), *own.shape)
    torch.distributed.all_gather(list(everyones), own)
    return everyones

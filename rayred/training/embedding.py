"""The embeddings of images by a network that is trained: what comes before its classifier.

Legend: N images, B of them a batch, C channels, H × W pixels, D embedding dimensions.
"""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.data.dataset import Split
from rayred.training.batches import evaluation_batches
from rayred.training.numerics import numerics
from rayred.training.worker import Shard


class Embedder(Protocol):
    """A network that embeds images."""

    def to(self, device: torch.device, /) -> Self:
        """Move to a device."""

    def eval(self) -> Self:
        """Change to evaluation mode."""

    def embed(self, x: Tensor) -> Tensor:
        """Return the embedding of raw pixels: of (B, C, H, W) uint8 (B, D) float32."""


@torch.inference_mode()
def embed_images(model: Embedder, split: Split, device: torch.device) -> NDArray[np.float32]:
    """Return the pooled embeddings of all images: evaluation mode, no augmentation.

    Parameters
    ----------
    model, split, device
        The network, the N images, and where to compute.

    Returns
    -------
    embeddings
        (N, D) float32, in data set order.
    """
    model = model.to(device).eval()
    batches = evaluation_batches(split, device, Shard())
    # In half precision, rounding would decide which images of a collapsed class are near.
    with numerics("float32"):
        parts = [model.embed(x_BCHW).cpu().numpy() for x_BCHW, _ in batches]
    return np.concatenate(parts)

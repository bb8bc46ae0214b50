"""The embeddings of images: a trained network's last average pooling.

Legend: N images, B of them a batch, C channels, H × W pixels, D embedding dimensions.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from rayred.data.dataset import Split
from rayred.models import Classifier
from rayred.training.batches import evaluation_batches
from rayred.training.numerics import numerics
from rayred.training.worker import Shard


@torch.inference_mode()
def embed_images(model: Classifier, split: Split, device: torch.device) -> NDArray[np.float32]:
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

"""The semantic space: the last average pooling of a trained network, for every image.

Legend: N images, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.cluster import Scaling
from rayred.data.dataset import Dataset, Split
from rayred.models import Classifier, ModelSpec
from rayred.training.batches import Shard, evaluation_batches
from rayred.training.loop import load_model
from rayred.training.numerics import numerics
from rayred.training.ray_train import MAX_FAILURES


@torch.inference_mode()
def embed_images(
    model: Classifier, split: Split, device: torch.device, shard: Shard | None = None
) -> NDArray[np.float32]:
    """Return the pooled embeddings of a shard's images: evaluation mode, no augmentation.

    Parameters
    ----------
    model, split, device
        The network, the N images, and where to compute.
    shard
        Images rank, rank + world, …; by default all.

    Returns
    -------
    embeddings
        (n, D) float32, in data set order.
    """
    model = model.to(device).eval()
    batches = evaluation_batches(split, device, shard or Shard())
    # In half precision, rounding would decide which images of a collapsed class are near.
    with numerics(device, "float32"):
        parts = [model.embed(x_BCHW).cpu().numpy() for x_BCHW, _ in batches]
    return np.concatenate(parts)


def embed_with_ray(
    spec: ModelSpec,
    weights: Mapping[str, Tensor],
    dataset_ref: ray.ObjectRef[Dataset],
    n_images: int,
    scaling: Scaling,
) -> NDArray[np.float32]:
    """Return the embeddings of all training images, each computed once, spread over Ray tasks.

    Returns
    -------
    embeddings
        (N, D) float32, in data set order.
    """
    weights_ref = ray.put({name: tensor.numpy() for name, tensor in weights.items()})
    task = ray.remote(_embed_shard).options(
        num_cpus=scaling.threads, num_gpus=1 if scaling.gpu else 0, max_retries=MAX_FAILURES
    )
    world = min(scaling.workers, n_images)
    shards = ray.get(
        [
            task.remote(spec, weights_ref, dataset_ref, Shard(rank, world), scaling)
            for rank in range(world)
        ]
    )
    embeddings = np.empty((n_images, shards[0].shape[1]), np.float32)
    for rank, part in enumerate(shards):
        embeddings[Shard(rank, world).rows] = part
    return embeddings


def _embed_shard(
    spec: ModelSpec,
    weights: Mapping[str, NDArray[np.float32]],
    dataset: Dataset,
    shard: Shard,
    scaling: Scaling,
) -> NDArray[np.float32]:
    torch.set_num_threads(scaling.threads)
    model = load_model(spec, {name: torch.tensor(array) for name, array in weights.items()})
    device = torch.device("cuda" if scaling.gpu else "cpu")
    return embed_images(model, dataset.train, device, shard)

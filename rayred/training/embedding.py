"""The semantic space: the last average pooling of a trained network, for every image.

Legend: N images, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.data.dataset import Dataset, Split
from rayred.machines.connect import Scaling
from rayred.models import Classifier, ModelSpec
from rayred.training.batches import Shard, evaluation_batches
from rayred.training.embedding_parts import Range
from rayred.training.loop import load_model
from rayred.training.numerics import numerics
from rayred.training.on_ray import MAX_FAILURES


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
    with numerics(device, "float32"):
        parts = [model.embed(x_BCHW).cpu().numpy() for x_BCHW, _ in batches]
    return np.concatenate(parts)


def embed_with_ray(
    spec: ModelSpec,
    weights: Mapping[str, Tensor],
    dataset_ref: ray.ObjectRef[Dataset],
    ranges: Sequence[Range],
    scaling: Scaling,
) -> Iterator[tuple[Range, NDArray[np.float32]]]:
    """Yield the embeddings of ranges of training images as they get done, by parallel Ray tasks.

    Parameters
    ----------
    spec, weights
        The network.
    dataset_ref
        The images.
    ranges
        First image and the image after the last of each part.
    scaling
        How many tasks run at a time, and what each has.
    """
    weights_ref = ray.put({name: tensor.numpy() for name, tensor in weights.items()})
    task = ray.remote(_embed_range).options(
        num_cpus=scaling.threads, num_gpus=1 if scaling.gpu else 0, max_retries=MAX_FAILURES
    )
    waiting = list(ranges)
    running: dict[ray.ObjectRef[NDArray[np.float32]], Range] = {}
    while waiting or running:
        # One more than can run: so workers need not wait, and few results are in memory at a time.
        while waiting and len(running) <= scaling.workers:
            part = waiting.pop(0)
            running[task.remote(spec, weights_ref, dataset_ref, part, scaling)] = part
        (done,), _ = ray.wait(list(running))
        yield running.pop(done), ray.get(done)


def _embed_range(
    spec: ModelSpec,
    weights: Mapping[str, NDArray[np.float32]],
    dataset: Dataset,
    part: Range,
    scaling: Scaling,
) -> NDArray[np.float32]:
    torch.set_num_threads(scaling.threads)
    model = load_model(spec, {name: torch.tensor(array) for name, array in weights.items()})
    device = torch.device("cuda" if scaling.gpu else "cpu")
    return embed_images(model, dataset.train.part(*part), device)

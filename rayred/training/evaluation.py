"""The test of a network: which images it classifies correctly.

Legend: N images, B of them in a batch, C channels, H × W pixels, K classes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from rayred.data.dataset import Split
from rayred.models import Classifier
from rayred.training.batches import evaluation_batches
from rayred.training.worker import Worker


def evaluate(
    model: Classifier, split: Split, worker: Worker | None = None, mirrored: bool = False
) -> float:
    """Return the share of images that a network classifies correctly, 0 to 1.

    The parameters are those of `classified_correctly`.
    """
    return float(classified_correctly(model, split, worker, mirrored).mean())


@torch.inference_mode()
def classified_correctly(
    model: Classifier, split: Split, worker: Worker | None = None, mirrored: bool = False
) -> NDArray[np.bool_]:
    """Return which images a network classifies correctly, (N,) bool, in the split's order.

    The network is put into evaluation mode, and back into its own mode at the end.

    Parameters
    ----------
    model
        The network, on the worker's device.
    split
        The N images, of which every worker takes its share; each gets the result on all.
    worker
        This worker; by default the only one, on the CPU.
    mirrored
        Classify by the mean of the logits of an image and its mirror image.
    """
    worker = worker or Worker()
    was_training = model.training
    model.eval()
    found = []
    for x_BCHW, y_B in evaluation_batches(split, worker.device, worker.shard):
        logits_BK = model(x_BCHW)
        if mirrored:
            logits_BK = logits_BK + model(x_BCHW.flip(3))
        found.append(logits_BK.argmax(1) == y_B)
    model.train(was_training)
    correct_N = torch.zeros(len(split), dtype=torch.uint8, device=worker.device)
    if found:  # a worker has no share of a split that is smaller than the number of workers
        correct_N[worker.shard.rows] = torch.cat(found).to(torch.uint8)
    return worker.sum(correct_N).cpu().numpy().astype(np.bool_)

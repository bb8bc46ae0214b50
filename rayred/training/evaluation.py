"""The test of a network: the share of images that it classifies correctly.

Legend: B images of a batch, C channels, H × W pixels, K classes.
"""

from __future__ import annotations

import torch

from rayred.data.dataset import Split
from rayred.models import Classifier
from rayred.training.batches import evaluation_batches
from rayred.training.worker import Worker


@torch.inference_mode()
def evaluate(
    model: Classifier, split: Split, worker: Worker | None = None, mirrored: bool = False
) -> float:
    """Return the share of images that a network classifies correctly, 0 to 1.

    The network is put into evaluation mode, and back into its own mode at the end.

    Parameters
    ----------
    model
        The network, on the worker's device.
    split
        The images, of which every worker takes its share.
    worker
        This worker; by default the only one, on the CPU.
    mirrored
        Classify by the mean of the logits of an image and its mirror image.
    """
    worker = worker or Worker()
    was_training = model.training
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=worker.device)
    seen = 0
    for x_BCHW, y_B in evaluation_batches(split, worker.device, worker.shard):
        logits_BK = model(x_BCHW)
        if mirrored:
            logits_BK = logits_BK + model(x_BCHW.flip(3))
        correct += (logits_BK.argmax(1) == y_B).sum()
        seen += len(y_B)
    model.train(was_training)
    return worker.mean(correct.double(), seen)

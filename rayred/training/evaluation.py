"""The test of a network: which images it classifies correctly, and the share of them.

Legend: N images of a split, n of them this worker's, B of a batch, C channels, H × W pixels,
K classes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from rayred.data.dataset import Split
from rayred.models import Classifier
from rayred.training.batches import evaluation_batches
from rayred.training.worker import Worker


@torch.inference_mode()
def correct_images(
    model: Classifier, split: Split, worker: Worker | None = None, mirrored: bool = False
) -> NDArray[np.bool_]:
    """Return which images a network classifies correctly, (N,) bool in the order of the split.

    The network is put into evaluation mode, and back into its own mode at the end.

    Parameters
    ----------
    model
        The network, on the worker's device.
    split
        The images, of which every worker takes its share; all workers return all of them.
    worker
        This worker; by default the only one, on the CPU.
    mirrored
        Classify by the mean of the logits of an image and its mirror image.
    """
    worker = worker or Worker()
    was_training = model.training
    model.eval()
    correct_N = torch.zeros(len(split), dtype=torch.uint8, device=worker.device)
    mine_n = correct_N[worker.shard.rows]  # a view
    seen = 0
    for x_BCHW, y_B in evaluation_batches(split, worker.device, worker.shard):
        logits_BK = model(x_BCHW)
        if mirrored:
            logits_BK = logits_BK + model(x_BCHW.flip(3))
        mine_n[seen : seen + len(y_B)] = logits_BK.argmax(1) == y_B
        seen += len(y_B)
    model.train(was_training)
    return worker.joined(correct_N).cpu().numpy().astype(np.bool_)


def evaluate(
    model: Classifier, split: Split, worker: Worker | None = None, mirrored: bool = False
) -> float:
    """Return the share of images that a network classifies correctly, 0 to 1.

    The parameters are those of `correct_images`.
    """
    return float(correct_images(model, split, worker, mirrored).mean())

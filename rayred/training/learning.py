"""What a training shows of each of its images: how often it was forgotten, and how wrong it was.

Legend: N training images, n of them trained on, B images of a batch, K classes.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.data.dataset import Split
from rayred.models import Classifier
from rayred.training.batches import evaluation_batches, training_order
from rayred.training.numerics import numerics
from rayred.training.task import Task
from rayred.training.worker import Worker

EL2N_SHARE = 0.1
"""Share of all steps after which EL2N is measured: epoch 20 of 200 in the paper."""


class Learning:
    """Follows one network through its training.

    - ``forgetting`` (Toneva et al. 2019, arXiv 1812.05159, algorithm 1): how often an image was
      classified correctly when a batch held it, and wrongly the next time; infinite if it never was
      classified correctly.
    - ``el2n`` (Paul, Ganguli and Dziugaite 2021, arXiv 2107.07075, definition 2.2): the Euclidean
      length of softmax − one-hot label, early in training, in evaluation mode. The paper's score is
      the mean over several networks; this is that of one.
    """

    def __init__(self, task: Task, indices: NDArray[np.int64], n: int, worker: Worker) -> None:
        """Begin before the first step.

        Parameters
        ----------
        task
            Recipe and seed.
        indices
            (n,) int64, the images trained on.
        n
            N.
        worker
            This worker, of which each sees its share of a batch.
        """
        self._task, self._indices, self._worker = task, indices, worker
        self.last = torch.zeros(n, dtype=torch.bool, device=worker.device)
        """(N,) whether each image was classified correctly when it was seen last."""
        self.learned = self.last.clone()
        """(N,) whether it ever was."""
        self.forgotten = torch.zeros(n, dtype=torch.int32, device=worker.device)
        """(N,) how often it was not, having been so the time before."""
        self.el2n = torch.full((n,), torch.nan, device=worker.device)
        """(N,) float32; NaN before it is measured."""
        self.begin(0)

    def begin(self, step: int) -> None:
        """Go on from a step."""
        recipe = self._task.recipe
        order = training_order(self._indices, recipe.batch_size, recipe.steps, self._task.seed)
        self._order = itertools.islice(order, step, None)

    def see(self, logits_BK: Tensor, y_B: Tensor) -> None:
        """Take this worker's share of the logits and labels of the next batch."""
        images = next(self._order)
        correct = torch.zeros(len(images), dtype=torch.uint8, device=self._worker.device)
        correct[self._worker.shard.rows] = (logits_BK.detach().argmax(1) == y_B).to(torch.uint8)
        now = self._worker.joined(correct).bool()
        # A batch that spans two epochs may hold an image twice: the parts keep their order.
        for part in _without_repeats(images):
            chosen = torch.from_numpy(images[part]).to(now.device)
            right = now[torch.from_numpy(part).to(now.device)]
            self.forgotten[chosen] += self.last[chosen] & ~right
            self.learned[chosen] |= right
            self.last[chosen] = right

    def is_due(self, done: int) -> bool:
        """Return whether EL2N is measured after these steps."""
        return done == max(1, round(EL2N_SHARE * self._task.recipe.steps))

    def measure(self, model: Classifier, split: Split) -> None:
        """Measure EL2N of all images; all workers have to call this."""
        self.el2n = el2n_scores(model, split, self._worker)

    def scores(self) -> dict[str, NDArray[np.float64]]:
        """Return the scores at the end, (N,) float64 each, by name."""
        forgetting = self.forgotten.double().masked_fill(~self.learned, torch.inf)
        found = {"forgetting": forgetting, "el2n": self.el2n.double()}
        return {name: values.cpu().numpy() for name, values in found.items()}

    def state(self) -> dict[str, Tensor]:
        """Return what it takes to go on."""
        names = ("last", "learned", "forgotten", "el2n")
        return {name: getattr(self, name).clone() for name in names}

    def load_state(self, state: dict[str, Any], step: int) -> None:
        """Go on from a state after a step."""
        for name, values in state.items():
            setattr(self, name, values.to(self._worker.device))
        self.begin(step)


@torch.inference_mode()
def el2n_scores(model: Classifier, split: Split, worker: Worker | None = None) -> Tensor:
    """Return the length of softmax − one-hot label of each image, (N,) float32.

    Parameters
    ----------
    model
        The network, on the worker's device; it is left in its mode.
    split
        N images, of which every worker takes its share; all workers return all of them.
    worker
        This worker; by default the only one, on the CPU.
    """
    worker = worker or Worker()
    was_training = model.training
    model.eval()
    found = torch.zeros(len(split), device=worker.device)
    mine, seen = found[worker.shard.rows], 0
    with numerics("float32"):
        for x_BCHW, y_B in evaluation_batches(split, worker.device, worker.shard):
            error_BK = model(x_BCHW).float().softmax(1)
            error_BK[torch.arange(len(y_B), device=worker.device), y_B] -= 1
            mine[seen : seen + len(y_B)] = error_BK.norm(dim=1)
            seen += len(y_B)
    model.train(was_training)
    return worker.joined(found)


def _without_repeats(images_B: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the places of a batch in parts, in each of which an image comes once."""
    waiting, parts = np.arange(len(images_B)), []
    while len(waiting):
        _, first = np.unique(images_B[waiting], return_index=True)
        parts.append(waiting[first])
        waiting = np.delete(waiting, first)
    return parts

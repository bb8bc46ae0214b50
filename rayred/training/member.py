"""One network of a training, with everything that is its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.data.dataset import Split
from rayred.errors import TrainingError
from rayred.models import build_model
from rayred.results.curve import Point
from rayred.training.batches import Batch, training_batches
from rayred.training.learning import Learning
from rayred.training.recipe import RecipeOptimizer
from rayred.training.task import Outcome, Task
from rayred.training.worker import Worker


class Member:
    """A network that trains alone or in a pack: its weights, optimiser, batches and curve."""

    def __init__(
        self, task: Task, indices: NDArray[np.int64], n_train: int, worker: Worker
    ) -> None:
        """Initialise the network from the task's seed.

        Parameters
        ----------
        task
            Network, recipe and seed.
        indices
            (n,) int64, the training images to use.
        n_train
            Number of all training images.
        worker
            Where it trains.
        """
        torch.manual_seed(task.seed)
        self.task = task
        self.indices = indices
        self.worker = worker
        self.model = build_model(task.spec).to(worker.device)
        self.optimizer = RecipeOptimizer(task.recipe, self.model)
        self.losses = torch.zeros((), device=worker.device)
        """Sum of this worker's weighted losses since the last point of the curve."""
        self.curve: list[Point] = []
        self.correct = np.empty(0, np.bool_)
        """(n_test,) bool, the test images classified correctly in the last evaluation."""
        self.learning = Learning(task, indices, n_train, worker) if task.follow else None
        """How each training image is learned, if that is wanted."""
        self.failure: TrainingError | None = None
        """Why the network cannot be trained to the end."""

    def batches(self, split: Split, pixels_NHWC: Tensor, first_step: int) -> Iterator[Batch]:
        """Return this worker's share of every batch from `first_step` on."""
        return training_batches(
            split,
            self.indices,
            self.task.recipe,
            self.task.seed,
            self.worker.device,
            self.worker.shard,
            first_step,
            pixels_NHWC,
        )

    def descend(self, loss: Tensor, lr: float) -> None:
        """Take one step of the optimiser by the gradients of a loss."""
        self.optimizer.step(lr)
        self.losses += loss.detach()

    def state(self) -> dict[str, Any]:
        """Return all that the network needs to go on; all workers have to call this."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": [asdict(point) for point in self.curve],
            "correct": torch.tensor(self.correct),
            "losses": self.worker.mean(self.losses, 1),
            "learning": None if self.learning is None else self.learning.state(),
            "failure": None if self.failure is None else str(self.failure),
        }

    def load_state(self, state: dict[str, Any], step: int) -> None:
        """Load a state that `state` returned after a step."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = [Point(**point) for point in state["curve"]]
        self.correct = state["correct"].numpy()
        self.losses = self.losses + state["losses"]
        if self.learning is not None:
            self.learning.load_state(state["learning"], step)
        self.failure = TrainingError(state["failure"]) if state["failure"] else None

    def outcome(self, seconds: float) -> Outcome | TrainingError:
        """Return the outcome after the last step, or the error that the network failed with."""
        if self.failure is not None:
            return self.failure
        accuracy = self.curve[-1].test_accuracy
        assert accuracy is not None
        scores = {} if self.learning is None else self.learning.scores()
        return Outcome(accuracy, seconds, tuple(self.curve), self.model, self.correct, scores)

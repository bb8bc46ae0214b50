"""One training from scratch: a plain function that knows neither Ray Train nor Ray Tune.

Legend: N training images, n of them chosen, B a batch, S steps.

>>> from rayred.config import Train
>>> from rayred.data import load_dataset
>>> digits = load_dataset("digits")
>>> task = Task.for_dataset("resnet8", digits, Train.model_validate({"steps": 3}), seed=0)
>>> outcome = train_model(task, digits, np.arange(len(digits.train)))
>>> outcome.curve[-1].step
3
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.distributed
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rayred.config import Train
from rayred.data.dataset import Dataset, Split
from rayred.errors import TrainingError
from rayred.models import Classifier, ModelSpec, build_model
from rayred.training.batches import Shard, evaluation_batches, training_batches
from rayred.training.numerics import numerics
from rayred.training.recipe import RecipeOptimizer, learning_rate

MAX_POINTS = 1000
"""A curve has a point an epoch, or this many points where the epochs are more."""

State = dict[str, Any]
"""What a training needs to go on: step, seconds, model, optimiser, curve and losses since then."""


@dataclass(frozen=True)
class Task:
    """What to train, apart from the images."""

    spec: ModelSpec
    recipe: Train
    seed: int
    """Decides initialisation, batch order and augmentation."""

    @classmethod
    def for_dataset(cls, model: str, dataset: Dataset, recipe: Train, seed: int) -> Task:
        """Return the task of training network `model` on a data set's images."""
        return cls(ModelSpec.for_dataset(model, dataset), recipe, seed)


@dataclass(frozen=True)
class Point:
    """One point of a training's curve."""

    step: int
    """Steps taken."""
    epoch: float
    """Times that each image was seen."""
    train_loss: float
    """Mean loss of the steps since the point before."""
    lr: float
    """Learning rate of the last step."""
    test_accuracy: float | None = None
    """Share of test images classified correctly, 0 to 1; none where not evaluated."""


@dataclass(frozen=True)
class Outcome:
    """A finished training."""

    test_accuracy: float
    """Share of test images classified correctly, 0 to 1."""
    train_seconds: float
    """Seconds spent on training steps, without set-up and evaluation."""
    curve: tuple[Point, ...]
    model: Classifier


Report = Callable[[Point], None]
"""Told of every point of the curve."""
Save = Callable[[State], None]
"""Given a snapshot to resume from, whenever a checkpoint is due."""


@dataclass(frozen=True)
class Worker:
    """Where a training runs: this worker's device, its share, and how the model is wrapped."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    shard: Shard = field(default_factory=Shard)
    wrap: Callable[[nn.Module], nn.Module] | None = None
    """Makes the model train together with the other workers' (distributed data parallel)."""

    def mean(self, total: Tensor, count: int) -> float:
        """Return the mean over all workers of what each has summed up."""
        both = torch.stack([total.double(), torch.tensor(count, dtype=torch.float64).to(total)])
        if self.shard.world > 1:
            torch.distributed.all_reduce(both)
        return float(both[0] / both[1])


def train_model(
    task: Task,
    dataset: Dataset,
    indices: NDArray[np.int64],
    report: Report | None = None,
    *,
    save: Save | None = None,
    tick: Callable[[int], None] | None = None,
    worker: Worker | None = None,
    resume: State | None = None,
) -> Outcome:
    """Train a network from scratch on some of the training images, and test it.

    Parameters
    ----------
    task
        Network, recipe and seed.
    dataset
        The images.
    indices
        (n,) int64, the training images to use.
    report
        Told of every point of the curve.
    save
        Given a snapshot every `checkpoint_steps` steps: by every worker, all of them at once.
    tick
        Told the number of steps taken, after every step.
    worker
        Device and share of this worker; by default all of the work, on the CPU.
    resume
        A snapshot that `save` was given; the training goes on from there, on the same course.

    Raises
    ------
    TrainingError
        The loss is not finite.
    """
    worker = worker or Worker()
    recipe = task.recipe
    with numerics(worker.device, recipe.precision, recipe.deterministic) as autocast:
        follow = _Followers(report, save, tick)
        return _train(task, dataset, indices, follow, worker, resume, autocast)


@dataclass(frozen=True)
class _Followers:
    report: Report | None
    save: Save | None
    tick: Callable[[int], None] | None


def _train(
    task: Task,
    dataset: Dataset,
    indices: NDArray[np.int64],
    follow: _Followers,
    worker: Worker,
    resume: State | None,
    autocast: torch.autocast,
) -> Outcome:
    recipe = task.recipe
    torch.manual_seed(task.seed)
    model = build_model(task.spec).to(worker.device)
    network = worker.wrap(model) if worker.wrap else model
    optimizer = RecipeOptimizer(recipe, model)
    first_step, seconds, curve = 0, 0.0, []
    losses, summed = torch.zeros((), device=worker.device), 0
    if resume:
        model.load_state_dict(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        first_step, seconds = resume["step"], resume["seconds"]
        curve = [Point(**point) for point in resume["curve"]]
        losses, summed = losses + resume["losses"], resume["summed"]
    points = _point_steps(recipe, len(indices))
    batches = training_batches(
        dataset.train, indices, recipe, task.seed, worker.device, worker.shard, first_step
    )
    started = time.perf_counter()
    model.train()
    for done, (x_BCHW, y_B) in enumerate(batches, start=first_step + 1):
        with autocast:
            logits = network(x_BCHW)
        loss = F.cross_entropy(logits.float(), y_B, label_smoothing=recipe.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        lr = learning_rate(recipe, done - 1)
        optimizer.step(lr)
        losses += loss.detach()
        summed += 1
        if follow.tick:
            follow.tick(done)
        saves = follow.save is not None and done % recipe.checkpoint_steps == 0
        if not saves and done not in points:
            continue
        # On a GPU this waits for the steps, so that the clock is read when they are done.
        loss_sum = worker.mean(losses, 1)
        seconds += time.perf_counter() - started
        if done in points:
            train_loss = loss_sum / summed
            if not math.isfinite(train_loss):
                raise TrainingError(
                    f"the loss is {train_loss} after step {done} of {recipe.steps}; lower"
                    " train.lr or lengthen train.warmup_steps"
                )
            losses, summed, loss_sum = torch.zeros_like(losses), 0, 0.0
            epoch = done * recipe.batch_size / len(indices)
            accuracy = None
            if done == recipe.steps or _evaluates(recipe, curve[-1].epoch if curve else 0, epoch):
                with autocast:
                    accuracy = evaluate(model, dataset.test, worker, recipe.test_mirrored)
            curve.append(Point(done, round(epoch, 4), train_loss, lr, accuracy))
            if follow.report:
                follow.report(curve[-1])
        if saves and follow.save:
            follow.save(
                {
                    "step": done,
                    "seconds": seconds,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "curve": [asdict(point) for point in curve],
                    "losses": loss_sum,
                    "summed": summed,
                }
            )
        started = time.perf_counter()
    accuracy = curve[-1].test_accuracy
    assert accuracy is not None
    return Outcome(accuracy, seconds, tuple(curve), model)


@torch.inference_mode()
def evaluate(
    model: Classifier, split: Split, worker: Worker | None = None, mirrored: bool = False
) -> float:
    """Return the share of images classified correctly, over all workers, 0 to 1.

    If `mirrored`, by the mean of the logits of an image and its mirror image. Leaves the model in
    the mode that it was in.
    """
    worker = worker or Worker()
    training = model.training
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=worker.device)
    seen = 0
    for x_BCHW, y_B in evaluation_batches(split, worker.device, worker.shard):
        logits = model(x_BCHW)
        if mirrored:
            logits = logits + model(x_BCHW.flip(3))
        correct += (logits.argmax(1) == y_B).sum()
        seen += len(y_B)
    model.train(training)
    return worker.mean(correct.double(), seen)


def _point_steps(recipe: Train, images: int) -> frozenset[int]:
    """Return the steps after which a point is due: where an epoch ends, and the last."""
    epoch = max(images / recipe.batch_size, recipe.steps / MAX_POINTS)
    ends = (math.ceil(count * epoch) for count in range(1, math.ceil(recipe.steps / epoch)))
    return frozenset(ends) | {recipe.steps}


def _evaluates(recipe: Train, epoch_before: float, epoch: float) -> bool:
    every = recipe.evaluate_every
    return every > 0 and epoch // every > epoch_before // every


def load_model(spec: ModelSpec, weights: Mapping[str, Tensor]) -> Classifier:
    """Return a network with the given weights, ready for evaluation."""
    model = build_model(spec)
    model.load_state_dict(dict(weights))
    return model.eval()

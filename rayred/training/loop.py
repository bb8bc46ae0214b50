"""Training from scratch: plain functions that know neither Ray Train nor Ray Tune.

Legend: n images of a training, B a batch, C channels, H × W pixels, K classes.

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
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
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
from rayred.training.batches import Shard, evaluation_batches, resident_pixels, training_batches
from rayred.training.compiled import compile_errors, compiled
from rayred.training.numerics import numerics
from rayred.training.packed import PackedModels
from rayred.training.recipe import RecipeOptimizer, learning_rate

AGREE_STEPS = 10
"""How often several workers ask each other whether a checkpoint is due by the clock."""
MAX_POINTS = 1000
"""A curve has a point an epoch, or this many points where the epochs are more."""

State = dict[str, Any]
"""What a training needs to go on: step, seconds, and of every network model, optimiser, curve."""


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
    """Seconds spent on training steps, compiling included, without set-up and evaluation."""
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
        Given a snapshot whenever a checkpoint is due: by every worker, all of them at once.
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
    ConfigError
        It is to be compiled, and cannot be.
    """
    (outcome,) = train_pack(
        [task],
        dataset,
        [indices],
        report,
        save=save,
        tick=tick,
        worker=worker,
        resume=resume,
    )
    if isinstance(outcome, TrainingError):
        raise outcome
    return outcome


def train_pack(
    tasks: Sequence[Task],
    dataset: Dataset,
    indices: Sequence[NDArray[np.int64]],
    report: Report | None = None,
    *,
    save: Save | None = None,
    tick: Callable[[int], None] | None = None,
    worker: Worker | None = None,
    resume: State | None = None,
) -> list[Outcome | TrainingError]:
    """Train several networks side by side in one process, as one batched network.

    Each has its own seed, images and optimiser, and comes out as if it had been trained alone, but
    for rounding. What fails by itself is returned in its place, and the others go on.

    Parameters
    ----------
    tasks
        One a network; they differ in their seeds alone.
    dataset
        The images.
    indices
        For each network (n,) int64, the training images to use: as many for all.
    report, save, tick, worker, resume
        As of `train_model`. Seconds of training are shared out evenly.

    Raises
    ------
    ValueError
        The trainings differ in more than their seeds and images.
    ConfigError
        They are to be compiled, and cannot be.
    """
    if len({(task.recipe, task.spec) for task in tasks}) != 1 or len(set(map(len, indices))) != 1:
        raise ValueError("the trainings of a pack differ in their recipe, network or size")
    worker = worker or Worker()
    recipe = tasks[0].recipe
    with (
        compile_errors() if recipe.compile else nullcontext(),
        numerics(worker.device, recipe.precision, recipe.deterministic) as autocast,
    ):
        follow = _Followers(report, save, tick)
        pack = [_Training(task, rows, worker) for task, rows in zip(tasks, indices, strict=True)]
        return _train(recipe, pack, dataset, follow, worker, resume, autocast)


def part_of_state(state: State, part: slice) -> State:
    """Return a pack's snapshot for some of its trainings, with their share of the seconds."""
    pack = state["pack"][part]
    seconds = state["seconds"] * len(pack) / len(state["pack"])
    return {**state, "seconds": seconds, "pack": pack}


@dataclass(frozen=True)
class _Followers:
    report: Report | None
    save: Save | None
    tick: Callable[[int], None] | None


class _Training:
    """One network of a pack, and how far it is."""

    def __init__(self, task: Task, indices: NDArray[np.int64], worker: Worker) -> None:
        torch.manual_seed(task.seed)
        self.seed = task.seed
        self.indices = indices
        self.model = build_model(task.spec).to(worker.device)
        self.optimizer = RecipeOptimizer(task.recipe, self.model)
        self.losses = torch.zeros((), device=worker.device)
        """Sum of the losses since the last point of the curve."""
        self.curve: list[Point] = []
        self.failure: TrainingError | None = None

    def state(self, losses: float) -> State:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": [asdict(point) for point in self.curve],
            "losses": losses,
            "failure": None if self.failure is None else str(self.failure),
        }

    def load_state(self, state: State) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = [Point(**point) for point in state["curve"]]
        self.losses = self.losses + state["losses"]
        self.failure = TrainingError(state["failure"]) if state["failure"] else None

    def outcome(self, seconds: float) -> Outcome | TrainingError:
        if self.failure is not None:
            return self.failure
        accuracy = self.curve[-1].test_accuracy
        assert accuracy is not None
        return Outcome(accuracy, seconds, tuple(self.curve), self.model)


def _train(
    recipe: Train,
    pack: Sequence[_Training],
    dataset: Dataset,
    follow: _Followers,
    worker: Worker,
    resume: State | None,
    autocast: torch.autocast,
) -> list[Outcome | TrainingError]:
    first_step, seconds, summed = 0, 0.0, 0
    if resume:
        first_step, seconds, summed = resume["step"], resume["seconds"], resume["summed"]
        for training, state in zip(pack, resume["pack"], strict=True):
            training.load_state(state)
    forward = _forward_of([training.model for training in pack], worker, recipe.compile)
    images = len(pack[0].indices)
    points = _point_steps(recipe, images)
    pixels = resident_pixels(dataset.train.images, worker.device)
    batches = [
        training_batches(
            dataset.train,
            training.indices,
            recipe,
            training.seed,
            worker.device,
            worker.shard,
            first_step,
            pixels,
        )
        for training in pack
    ]
    for training in pack:
        training.model.train()
    checkpoint_due = _CheckpointClock(recipe, worker)
    started = time.perf_counter()
    for done, together in enumerate(zip(*batches, strict=True), start=first_step + 1):
        with autocast:
            logits = forward([x_BCHW for x_BCHW, _ in together])
        losses = [
            F.cross_entropy(z_BK.float(), y_B, label_smoothing=recipe.label_smoothing)
            for z_BK, (_, y_B) in zip(logits, together, strict=True)
        ]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        lr = learning_rate(recipe, done - 1)
        for training, loss in zip(pack, losses, strict=True):
            training.optimizer.step(lr)
            training.losses += loss.detach()
        summed += 1
        if follow.tick:
            follow.tick(done)
        saves = follow.save is not None and checkpoint_due(done)
        if not saves and done not in points:
            continue
        # On a GPU this waits for the steps, so that the clock is read when they are done.
        sums = [worker.mean(training.losses, 1) for training in pack]
        seconds += time.perf_counter() - started
        if done in points:
            epoch = done * recipe.batch_size / images
            for training, loss_sum in zip(pack, sums, strict=True):
                training.losses.zero_()
                if training.failure is None:
                    reached = done, epoch, loss_sum / summed, lr
                    _add_point(training, recipe, reached, dataset, follow, worker, autocast)
            if all(training.failure for training in pack):
                break
            sums, summed = [0.0] * len(pack), 0
        if saves and follow.save:
            states = [training.state(total) for training, total in zip(pack, sums, strict=True)]
            follow.save({"step": done, "seconds": seconds, "summed": summed, "pack": states})
        started = time.perf_counter()
    return [training.outcome(seconds / len(pack)) for training in pack]


class _CheckpointClock:
    """Says when a checkpoint is due: to all workers after the same step."""

    def __init__(self, recipe: Train, worker: Worker) -> None:
        self.recipe = recipe
        self.worker = worker
        self.last = time.monotonic()

    def __call__(self, done: int) -> bool:
        """Return whether one is due after so many steps; then it counts as taken."""
        due = time.monotonic() - self.last >= 60 * self.recipe.checkpoint_minutes
        if self.worker.shard.world > 1:
            due = (
                done % AGREE_STEPS == 0
                and self.worker.mean(torch.tensor(float(due), device=self.worker.device), 1) > 0
            )
        every = self.recipe.checkpoint_steps
        if not due and (every is None or done % every):
            return False
        self.last = time.monotonic()
        return True


def _forward_of(
    models: Sequence[Classifier], worker: Worker, is_compiled: bool
) -> Callable[[list[Tensor]], Sequence[Tensor]]:
    """Return what makes logits of one batch for each model."""
    if len(models) > 1:
        return PackedModels(models, is_compiled)
    network = worker.wrap(models[0]) if worker.wrap else models[0]
    if is_compiled:
        # Workers of several hand on gradients while they are computed, not after a whole graph.
        alone_on_gpu = worker.device.type == "cuda" and not worker.wrap
        logits = compiled(network, as_cuda_graph=alone_on_gpu)
        return lambda batches: [logits(batches[0])]
    return lambda batches: [network(batches[0])]


def _add_point(
    training: _Training,
    recipe: Train,
    reached: tuple[int, float, float, float],
    dataset: Dataset,
    follow: _Followers,
    worker: Worker,
    autocast: torch.autocast,
) -> None:
    """Add a point to the curve, tested where that is due, or fail where the loss is not finite."""
    done, epoch, train_loss, lr = reached
    if not math.isfinite(train_loss):
        training.failure = TrainingError(
            f"the loss is {train_loss} after step {done} of {recipe.steps}; lower train.lr or"
            " lengthen train.warmup_steps"
        )
        return
    accuracy = None
    epoch_before = training.curve[-1].epoch if training.curve else 0
    if done == recipe.steps or _evaluates(recipe, epoch_before, epoch):
        with autocast:
            accuracy = evaluate(training.model, dataset.test, worker, recipe.test_mirrored)
    training.curve.append(Point(done, round(epoch, 4), train_loss, lr, accuracy))
    if follow.report:
        follow.report(training.curve[-1])


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

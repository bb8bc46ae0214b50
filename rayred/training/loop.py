"""Training from scratch, of one network or of a pack of several, on this worker.

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from rayred.data.dataset import Dataset
from rayred.errors import TrainingError
from rayred.results.curve import Point
from rayred.training.batches import Batch, resident_pixels
from rayred.training.checkpoints import CheckpointClock, State
from rayred.training.compiled import compile_errors
from rayred.training.curve import is_evaluated, point_steps
from rayred.training.evaluation import correct_images
from rayred.training.forward import forward_of
from rayred.training.member import Member
from rayred.training.numerics import autocast, numerics
from rayred.training.recipe import learning_rate
from rayred.training.task import Outcome, Task
from rayred.training.worker import Worker

Report = Callable[[Point], None]
"""Called with every point of the curve."""
Save = Callable[[State], None]
"""Called with the training's state whenever a checkpoint is due."""
Tick = Callable[[int], None]
"""Called with the number of steps taken, after every step."""


def train_model(
    task: Task,
    dataset: Dataset,
    indices: NDArray[np.int64],
    report: Report | None = None,
    *,
    save: Save | None = None,
    tick: Tick | None = None,
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
        Called with every point of the curve.
    save
        Called with the training's state whenever a checkpoint is due, on all workers after the same
        step. Either all workers pass one, or none does.
    tick
        Called with the number of steps taken, after every step.
    worker
        This worker's device and share of every batch; by default all of it, on the CPU.
    resume
        A state that `save` was called with: the training is resumed from there, to the same result.

    Raises
    ------
    TrainingError
        The loss is not finite.
    ConfigError
        The recipe wants the network compiled, and torch cannot compile it.
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
    tick: Tick | None = None,
    worker: Worker | None = None,
    resume: State | None = None,
) -> list[Outcome | TrainingError]:
    """Train several networks in one process, as one batched network.

    Each has its own seed, images and optimiser, and the result of training it alone, up to rounding
    (see README.md in this folder).

    Parameters
    ----------
    tasks
        One for each network; they differ in their seeds alone.
    dataset
        The images.
    indices
        For each network (n,) int64, the training images to use; n is the same for all.
    report, save, tick, worker, resume
        The same as for `train_model`.

    Returns
    -------
    outcomes
        One for each task, in order. Where the loss of a network is not finite, the error stands in
        its place, and the others are trained to the end. The seconds of training are shared out
        evenly.

    Raises
    ------
    ValueError
        The tasks differ in more than their seeds, or the numbers of images differ.
    ConfigError
        The recipe wants the networks compiled, and torch cannot compile them.
    """
    if len({(task.recipe, task.spec) for task in tasks}) != 1 or len(set(map(len, indices))) != 1:
        raise ValueError("the trainings of a pack differ in their recipe, network or size")
    recipe = tasks[0].recipe
    with (
        compile_errors() if recipe.compile else nullcontext(),
        numerics(recipe.precision, recipe.deterministic),
    ):
        training = Training(tasks, dataset, indices, worker or Worker())
        if resume is not None:
            training.load_state(resume)
        _run(training, report, save, tick)
        return training.outcomes()


def _run(training: Training, report: Report | None, save: Save | None, tick: Tick | None) -> None:
    """Take all steps that are left, with points of the curve and checkpoints where they are due."""
    clock = CheckpointClock(training.recipe, training.worker)
    training.start_clock()
    for batches in training.batches():
        training.step(batches)
        training.measure_learning()
        if tick is not None:
            tick(training.done)
        saves = save is not None and clock.due(training.done)
        if not saves and not training.is_at_point:
            continue
        training.stop_clock()
        if training.is_at_point:
            training.add_points(report)
            if training.has_failed:
                break
        if saves and save is not None:
            save(training.state())
        training.start_clock()


class Training:
    """Networks that train together, and how far they are: `step` by step, `state` in between."""

    def __init__(
        self,
        tasks: Sequence[Task],
        dataset: Dataset,
        indices: Sequence[NDArray[np.int64]],
        worker: Worker,
    ) -> None:
        """Initialise the networks; the parameters are those of `train_pack`."""
        self.recipe = tasks[0].recipe
        self.dataset = dataset
        self.worker = worker
        self.members = [
            Member(task, rows, len(dataset.train), worker)
            for task, rows in zip(tasks, indices, strict=True)
        ]
        self.images = len(indices[0])
        """Number of training images of each network."""
        self.done = 0
        """Steps taken."""
        self.seconds = 0.0
        """Seconds spent on them."""
        self.summed = 0
        """Steps since the last point of the curve."""
        self._started = 0.0
        self._points = point_steps(self.recipe, self.images)
        self._autocast = autocast(worker.device, self.recipe.precision)
        models = [member.model.train() for member in self.members]
        self._forward = forward_of(models, worker, self.recipe.compile)

    def batches(self) -> Iterator[tuple[Batch, ...]]:
        """Return the batches of each step that is left: one for each network."""
        split = self.dataset.train
        pixels_NHWC = resident_pixels(split.images, self.worker.device)
        each = [member.batches(split, pixels_NHWC, self.done) for member in self.members]
        return zip(*each, strict=True)

    def step(self, batches: Sequence[Batch]) -> None:
        """Train each network on its batch, x (B, C, H, W) uint8 and y (B,) int64."""
        with self._autocast:
            logits = self._forward([x_BCHW for x_BCHW, _ in batches])
        smoothing = self.recipe.label_smoothing
        weight = self.worker.shard.weight(self.recipe.batch_size)
        losses = [
            weight * F.cross_entropy(logits_BK.float(), y_B, label_smoothing=smoothing)
            for logits_BK, (_, y_B) in zip(logits, batches, strict=True)
        ]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        lr = learning_rate(self.recipe, self.done)
        for member, loss in zip(self.members, losses, strict=True):
            member.descend(loss, lr)
        self.done += 1
        self.summed += 1
        for member, logits_BK, (_, y_B) in zip(self.members, logits, batches, strict=True):
            if member.learning is not None:
                member.learning.see(logits_BK, y_B)

    def measure_learning(self) -> None:
        """Measure what `rayred.training.learning` measures after some step, if this is it."""
        for member in self.members:
            if member.learning is not None and member.learning.is_due(self.done):
                self.stop_clock()
                member.learning.measure(member.model, self.dataset.train)
                self.start_clock()

    def state(self) -> State:
        """Return all that the training needs to go on; all workers have to call this."""
        pack = [member.state() for member in self.members]
        return {"step": self.done, "seconds": self.seconds, "summed": self.summed, "pack": pack}

    def load_state(self, state: State) -> None:
        """Load a state that `state` returned."""
        self.done, self.seconds, self.summed = state["step"], state["seconds"], state["summed"]
        for member, stored in zip(self.members, state["pack"], strict=True):
            member.load_state(stored, self.done)

    @property
    def is_at_point(self) -> bool:
        """Whether the curve has a point after the steps taken."""
        return self.done in self._points

    def add_points(self, report: Report | None) -> None:
        """Add a point to each curve; a network whose loss is not finite fails instead."""
        for member in self.members:
            if member.failure is None:
                self._add_point(member, report)
            member.losses.zero_()
        self.summed = 0

    @property
    def has_failed(self) -> bool:
        """Whether all networks have failed."""
        return all(member.failure is not None for member in self.members)

    def outcomes(self) -> list[Outcome | TrainingError]:
        """Return the outcome of each network, or the error that it failed with."""
        seconds = self.seconds / len(self.members)
        return [member.outcome(seconds) for member in self.members]

    def start_clock(self) -> None:
        """Count the seconds from now on as training."""
        self._started = time.perf_counter()

    def stop_clock(self) -> None:
        """Wait until the device has done all steps, and stop counting."""
        if self.worker.device.type == "cuda":
            torch.cuda.synchronize(self.worker.device)
        self.seconds += time.perf_counter() - self._started

    def _add_point(self, member: Member, report: Report | None) -> None:
        loss = self.worker.mean(member.losses, 1) / self.summed
        if not math.isfinite(loss):
            member.failure = TrainingError(
                f"the loss is {loss} after step {self.done} of {self.recipe.steps}; lower train.lr"
                " or lengthen train.warmup_steps"
            )
            return
        epoch = self.done * self.recipe.batch_size / self.images
        epoch_before = member.curve[-1].epoch if member.curve else 0.0
        accuracy = None
        if is_evaluated(self.recipe, self.done, epoch, epoch_before):
            with self._autocast:
                mirrored = self.recipe.test_mirrored
                test = self.dataset.test
                member.correct = correct_images(member.model, test, self.worker, mirrored)
            accuracy = float(member.correct.mean())
        lr = learning_rate(self.recipe, self.done - 1)
        member.curve.append(Point(self.done, round(epoch, 4), loss, lr, accuracy))
        if report is not None:
            report(member.curve[-1])

"""Ray Train around the training loop: any number of workers, on CPUs (gloo) or GPUs (NCCL)."""

from __future__ import annotations

import math
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import ray
import ray.train
import torch
from numpy.typing import NDArray
from ray.train import ControllerError
from ray.train.torch import TorchTrainer
from torch import nn

from rayred.data.dataset import Dataset
from rayred.errors import RayredError
from rayred.machines.connect import Scaling
from rayred.progress import progress_bar
from rayred.training.batches import Shard
from rayred.training.data_parallel import data_parallel
from rayred.training.loop import Point, State, Task, Worker, train_model
from rayred.training.trained import Trained

CHECKPOINT_FILE = "training.pt"
MAX_FAILURES = 3
"""Times that a training is restarted after it lost a worker or a node."""
TICK_SECONDS = 0.5
"""How often the live line is brought up to date."""


class _Trainer(TorchTrainer):  # type: ignore[misc] # Ray is not typed
    """A trainer that Ctrl-C interrupts as it does the rest of the process.

    Ray's own handler ends the process with exit code 1 and without a word.
    """

    def _register_sigint_handler(self, controller: ray.actor.ActorHandle) -> None:
        del controller


class _EndsForGood(ray.train.UserCallback):  # type: ignore[misc] # Ray is not typed
    """Ends a training that failed by itself, on any worker: tried again, it would again.

    An error that a callback raises is one that Ray Train does not retry after.
    """

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        del run_context
        for error in worker_exceptions.values():
            if isinstance(error, RayredError):
                raise error


def train_with_ray(
    task: Task,
    dataset_ref: ray.ObjectRef[Dataset],
    indices_ref: ray.ObjectRef[NDArray[np.int64]],
    scaling: Scaling,
    storage: str,
    name: str,
) -> Trained:
    """Train on Ray Train workers; a run of the same name goes on from its last checkpoint.

    Parameters
    ----------
    task
        What to train.
    dataset_ref, indices_ref
        The images, and (n,) int64 which of them to use, in Ray's object store.
    scaling
        Workers and their resources.
    storage, name
        Folder or URL that all nodes share, and the run's name in it: where checkpoints lie.

    Raises
    ------
    TrainingError, DataError
        The training failed by itself, and would again.
    RayredError
        It lost its workers too often.
    """
    config = {
        "task": task,
        "dataset": dataset_ref,
        "indices": indices_ref,
        "threads": scaling.threads,
    }
    scaling_config = ray.train.ScalingConfig(
        num_workers=scaling.workers,
        use_gpu=scaling.gpu,
        resources_per_worker={"CPU": scaling.threads, "GPU": int(scaling.gpu)},
    )
    run_config = ray.train.RunConfig(
        name=name,
        storage_path=storage,
        checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
        failure_config=ray.train.FailureConfig(max_failures=MAX_FAILURES),
        callbacks=[_EndsForGood()],
    )
    try:
        with _live_line(task) as ticker:
            result = _Trainer(
                _train_worker,
                train_loop_config=config | {"ticker": ticker},
                scaling_config=scaling_config,
                run_config=run_config,
            ).fit()
    except ray.train.TrainingFailedError as error:
        if isinstance(error, ControllerError) and isinstance(error.controller_failure, RayredError):
            raise error.controller_failure from None
        raise RayredError(
            f"{name}: given up: {error}; run again to go on from the last checkpoint"
        ) from error
    trained: Trained = result.return_value
    return trained


class _Ticker:
    """The actor that a training tells how far it is."""

    def __init__(self) -> None:
        self.now = (0, math.nan)

    def tell(self, step: int, loss: float) -> None:
        """Keep the steps taken, and the loss of the last point of the curve."""
        self.now = (step, loss)

    def last(self) -> tuple[int, float]:
        """Return what was told last."""
        return self.now


@contextmanager
def _live_line(task: Task) -> Iterator[ray.actor.ActorHandle | None]:
    """Follow a training on the terminal; without one there is no actor to tell."""
    if not sys.stderr.isatty():
        yield None
        return
    ticker = ray.remote(_Ticker).options(num_cpus=0).remote()
    ended = threading.Event()
    images = task.recipe.batch_size
    with progress_bar("training", " images", task.recipe.steps * images) as bar:

        def follow() -> None:
            while not ended.wait(TICK_SECONDS):
                step, loss = ray.get(ticker.last.remote())
                bar.set_postfix_str(f"step {step:,} of {task.recipe.steps:,}, loss {loss:.3f}")
                bar.update(step * images - bar.n)

        follower = threading.Thread(target=follow)
        follower.start()
        try:
            yield ticker
        finally:
            ended.set()
            follower.join()
            ray.kill(ticker)


def _train_worker(config: dict[str, Any]) -> Trained:
    """Return what was trained; Ray Train hands on what rank 0 returns."""
    torch.set_num_threads(config["threads"])
    task: Task = config["task"]
    dataset, indices = ray.get([config["dataset"], config["indices"]])
    context = ray.train.get_context()
    shard = Shard(context.get_world_rank(), context.get_world_size())
    device = cast(torch.device, ray.train.torch.get_device())

    def wrap(model: nn.Module) -> nn.Module:
        return data_parallel(model, device, ray.train.torch.prepare_model)

    checkpoint = ray.train.get_checkpoint()
    last_told, loss = 0.0, math.nan

    def tick(step: int) -> None:
        nonlocal last_told
        if config["ticker"] and time.monotonic() - last_told > TICK_SECONDS:
            last_told = time.monotonic()
            config["ticker"].tell.remote(step, loss)

    def report(point: Point) -> None:
        nonlocal loss
        loss = point.train_loss

    def save(state: State) -> None:
        if shard.rank > 0:
            ray.train.report({})
            return
        with tempfile.TemporaryDirectory() as folder:
            torch.save(state, Path(folder) / CHECKPOINT_FILE)
            ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))

    outcome = train_model(
        task,
        dataset,
        indices,
        report,
        save=save,
        tick=tick if shard.rank == 0 else None,
        worker=Worker(device, shard, wrap if shard.world > 1 else None),
        resume=_load_checkpoint(checkpoint) if checkpoint else None,
    )
    weights = {name: value.cpu() for name, value in outcome.model.state_dict().items()}
    return Trained(outcome.test_accuracy, outcome.train_seconds, outcome.curve, task.spec, weights)


def _load_checkpoint(checkpoint: ray.train.Checkpoint) -> State:
    with checkpoint.as_directory() as folder:
        state: State = torch.load(
            Path(folder) / CHECKPOINT_FILE, map_location="cpu", weights_only=True
        )
    return state

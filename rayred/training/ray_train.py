"""Ray Train around the training loop: any number of workers, on CPUs (gloo) or GPUs (NCCL)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import ray
import ray.train
import torch
from numpy.typing import NDArray
from ray.train.torch import TorchTrainer

from rayred.cluster import Scaling
from rayred.data.dataset import Dataset
from rayred.errors import DataError, RayredError, TrainingError
from rayred.training.batches import Shard
from rayred.training.loop import Point, State, Task, Worker, train_model
from rayred.training.trained import Trained

CHECKPOINT_FILE = "training.pt"
MAX_FAILURES = 3
"""Times that a training is restarted after it lost a worker or a node."""


class _Trainer(TorchTrainer):  # type: ignore[misc] # Ray is not typed
    """A trainer that Ctrl-C interrupts as it does the rest of the process.

    Ray's own handler ends the process with exit code 1 and without a word.
    """

    def _register_sigint_handler(self, controller: ray.actor.ActorHandle) -> None:
        del controller


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
    trainer = _Trainer(
        _train_worker,
        train_loop_config={
            "task": task,
            "dataset": dataset_ref,
            "indices": indices_ref,
            "threads": scaling.threads,
        },
        scaling_config=ray.train.ScalingConfig(
            num_workers=scaling.workers,
            use_gpu=scaling.gpu,
            resources_per_worker={"CPU": scaling.threads, "GPU": int(scaling.gpu)},
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=storage,
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=2),
            failure_config=ray.train.FailureConfig(max_failures=MAX_FAILURES),
        ),
    )
    try:
        result = trainer.fit()
    except ray.train.TrainingFailedError as error:
        raise RayredError(
            f"{name}: failed {MAX_FAILURES + 1} times, at last by: {error}; run again to go on from"
            " the last checkpoint"
        ) from error
    if isinstance(result.return_value, RayredError):
        raise result.return_value
    trained: Trained = result.return_value
    return trained


def _train_worker(config: dict[str, Any]) -> Trained | RayredError:
    """Return what was trained, or why it cannot be; Ray Train hands on what rank 0 returns."""
    torch.set_num_threads(config["threads"])
    task: Task = config["task"]
    dataset, indices = ray.get([config["dataset"], config["indices"]])
    context = ray.train.get_context()
    shard = Shard(context.get_world_rank(), context.get_world_size())
    wrap = ray.train.torch.prepare_model if shard.world > 1 else None
    checkpoint = ray.train.get_checkpoint()
    last_saved = 0

    def report(point: Point, snapshot: Callable[[], State]) -> None:
        nonlocal last_saved
        if point.step - last_saved >= task.recipe.checkpoint_steps:
            _report_checkpoint(point, snapshot() if shard.rank == 0 else None)
            last_saved = point.step

    try:
        outcome = train_model(
            task,
            dataset,
            indices,
            report,
            worker=Worker(cast(torch.device, ray.train.torch.get_device()), shard, wrap),
            resume=_load_checkpoint(checkpoint) if checkpoint else None,
        )
    except (TrainingError, DataError) as error:
        # Returned, not raised: it would fail the same way again, and Ray would retry it.
        return error
    weights = {name: value.cpu() for name, value in outcome.model.state_dict().items()}
    return Trained(outcome.test_accuracy, outcome.train_seconds, outcome.curve, weights)


def _report_checkpoint(point: Point, state: State | None) -> None:
    metrics = asdict(point)
    if state is None:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save(state, Path(folder) / CHECKPOINT_FILE)
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _load_checkpoint(checkpoint: ray.train.Checkpoint) -> State:
    with checkpoint.as_directory() as folder:
        state: State = torch.load(
            Path(folder) / CHECKPOINT_FILE, map_location="cpu", weights_only=True
        )
    return state

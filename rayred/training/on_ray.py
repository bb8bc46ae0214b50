"""Training and embedding on a Ray cluster: Ray Train (gloo on CPUs, NCCL on GPUs) and Ray tasks.

Legend: n images of a training, N images, D embedding dimensions.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import ray
import ray.train
import torch
from numpy.typing import NDArray
from ray.exceptions import RayError
from ray.train import ControllerError
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import Tensor

from rayred.config import Train
from rayred.data.dataset import Dataset
from rayred.errors import RayredError
from rayred.machines.connect import MAX_FAILURES
from rayred.machines.failures import ray_reason
from rayred.machines.layout import Scaling
from rayred.progress import progress_bar
from rayred.results.curve import Point
from rayred.training.checkpoints import Checkpoints, State
from rayred.training.embedding import Embedder, embed_images
from rayred.training.embedding_parts import Range
from rayred.training.loop import train_model
from rayred.training.numerics import Precision, resolved_precision
from rayred.training.task import Task
from rayred.training.trained import Trained
from rayred.training.worker import Shard, Worker

logger = logging.getLogger(__name__)

LoadEmbedder = Callable[[Mapping[str, Tensor]], Embedder]
"""Makes a network of its weights, on whichever machine: what pickle can send."""
LIVE_SECONDS = 0.5
"""Seconds between two updates of the live line."""
STOP_SECONDS = 5
"""How long to wait for the last of them; none comes if Ray's own processes have ended."""


class _Trainer(TorchTrainer):  # type: ignore[misc] # Ray is not typed
    """A trainer that Ctrl-C interrupts in the same way as the rest of the process.

    Ray's own handler ends the process with exit code 1 and without a message.
    """

    def _register_sigint_handler(self, controller: ray.actor.ActorHandle) -> None:
        del controller


class _FailsAtOnce(ray.train.UserCallback):  # type: ignore[misc] # Ray is not typed
    """Ends a training whose error would occur again, on whichever worker it occurred.

    Ray Train does not restart a training after an error that a callback raises.
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
    """Train on Ray Train workers, from the last checkpoint of a training of the same name.

    The checkpoint is left where it is.

    Parameters
    ----------
    task
        Network, recipe and seed.
    dataset_ref, indices_ref
        The images, and (n,) int64 which of them to use, in Ray's object store.
    scaling
        Workers and their resources.
    storage, name
        Folder or URL that all nodes share, and the training's name in it: the place of its
        checkpoint.

    Raises
    ------
    TrainingError, DataError
        The training failed with an error that would occur again.
    RayredError
        The training lost its workers more than `MAX_FAILURES` times.
    """
    config = {
        "task": task,
        "dataset": dataset_ref,
        "indices": indices_ref,
        "threads": scaling.threads,
        "storage": storage,
        "name": name,
    }
    scaling_config = ray.train.ScalingConfig(
        num_workers=scaling.workers,
        use_gpu=scaling.gpu,
        resources_per_worker={"CPU": scaling.threads, "GPU": int(scaling.gpu)},
    )
    run_config = ray.train.RunConfig(
        name=name,
        storage_path=storage,
        failure_config=ray.train.FailureConfig(max_failures=MAX_FAILURES),
        callbacks=[_FailsAtOnce()],
    )
    try:
        with _live_line(task.recipe) as live:
            result = _Trainer(
                _train_worker,
                train_loop_config=config | {"live": live},
                scaling_config=scaling_config,
                run_config=run_config,
            ).fit()
    except ray.train.TrainingFailedError as error:
        if isinstance(error, ControllerError) and isinstance(error.controller_failure, RayredError):
            raise error.controller_failure from None
        raise RayredError(
            f"{name}: given up: {ray_reason(error)}; run again to go on from the last checkpoint"
        ) from error
    trained: Trained = result.return_value
    return trained


def _train_worker(config: dict[str, Any]) -> Trained:
    """Train on one worker, and return the training; Ray Train passes on that of the first."""
    torch.set_num_threads(config["threads"])
    task: Task = config["task"]
    dataset, indices = ray.get([config["dataset"], config["indices"]])
    context = ray.train.get_context()
    shard = Shard(context.get_world_rank(), context.get_world_size())
    is_first = shard.rank == 0
    checkpoints = Checkpoints(config["storage"], config["name"])
    queue = config["live"] if is_first else None
    live = _Live(queue) if queue is not None else None  # an empty queue is false
    try:
        outcome = train_model(
            task,
            dataset,
            indices,
            live.report if live else None,
            save=checkpoints.save if is_first else _save_nothing,
            tick=live.tick if live else None,
            worker=Worker(ray.train.torch.get_device(), shard),
            # All workers load the same checkpoint: the first worker can save another one only after
            # a step, and a step needs the gradients of all workers, each of which has loaded by
            # then.
            resume=checkpoints.load(),
        )
    finally:
        checkpoints.finish()  # also where another worker was lost: what is restarted goes on there
    return Trained.of(task, outcome)


def _save_nothing(state: State) -> None:
    """Leave the checkpoint to the first worker; making its state needed all of them."""
    del state


class _Live:
    """Puts step and loss of a training into the queue of its live line."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.loss: float | None = None  # until the first epoch ends
        self.last = 0.0

    def report(self, point: Point) -> None:
        self.loss = point.train_loss

    def tick(self, step: int) -> None:
        if time.monotonic() - self.last > LIVE_SECONDS:
            self.last = time.monotonic()
            self.queue.put((step, self.loss))


@contextmanager
def _live_line(recipe: Train) -> Iterator[Queue | None]:
    """Show steps and losses put into a queue; None where neither a terminal nor the log has them.

    So it is within a trial that trains on several workers: the sweep has the line.
    """
    if not (sys.stderr.isatty() or logger.isEnabledFor(logging.INFO)):
        yield None
        return
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    images, ended = recipe.batch_size, threading.Event()
    with progress_bar("training", "image", recipe.steps * images) as bar:

        def draw() -> None:
            while not ended.is_set() or not queue.empty():
                try:
                    step, loss = queue.get(timeout=LIVE_SECONDS)
                except Empty:
                    continue
                except RayError:
                    return  # the training tells what is lost
                said = "" if loss is None else f", loss {loss:.3f}"
                bar.set_postfix_str(f"step {step:,} of {recipe.steps:,}{said}")
                bar.update(step * images - bar.n)

        thread = threading.Thread(target=draw, daemon=True)
        thread.start()
        try:
            yield queue
        finally:
            ended.set()
            thread.join(STOP_SECONDS)
    queue.shutdown(force=True)


def embed_with_ray(
    load: LoadEmbedder,
    weights: Mapping[str, Tensor],
    dataset_ref: ray.ObjectRef[Dataset],
    ranges: Sequence[Range],
    scaling: Scaling,
) -> Iterator[tuple[Range, NDArray[np.float32]]]:
    """Yield the embeddings of ranges of training images, computed by parallel Ray tasks.

    Parameters
    ----------
    load, weights
        What makes the network on a worker, and its weights.
    dataset_ref
        The images, in Ray's object store.
    ranges
        First image and the image after the last of each range.
    scaling
        Number of tasks at a time, and the resources of each.

    Yields
    ------
    range, embeddings
        A range and its (N, D) float32 embeddings, in the order in which they are computed.
    """
    weights_ref = ray.put({name: tensor.numpy() for name, tensor in weights.items()})
    task = ray.remote(_embed_range).options(
        num_cpus=scaling.threads, num_gpus=1 if scaling.gpu else 0, max_retries=MAX_FAILURES
    )
    waiting = list(ranges)
    running: dict[ray.ObjectRef[NDArray[np.float32]], Range] = {}
    while waiting or running:
        # One more than can run: so workers need not wait, and few results are in memory at a time.
        while waiting and len(running) <= scaling.workers:
            part = waiting.pop(0)
            running[task.remote(load, weights_ref, dataset_ref, part, scaling)] = part
        (done,), _ = ray.wait(list(running))
        yield running.pop(done), ray.get(done)


def _embed_range(
    load: LoadEmbedder,
    weights: Mapping[str, NDArray[np.float32]],
    dataset: Dataset,
    part: Range,
    scaling: Scaling,
) -> NDArray[np.float32]:
    torch.set_num_threads(scaling.threads)
    model = load({name: torch.tensor(array) for name, array in weights.items()})
    device = torch.device("cuda" if scaling.gpu else "cpu")
    return embed_images(model, dataset.train.part(*part), device)


def resolve_precision(setting: str, *, gpu: bool) -> Precision:
    """Return the precision that a setting stands for on the cluster's GPUs, or its CPUs.

    Parameters
    ----------
    setting
        A precision, or ``auto``.
    gpu
        Whether trainings run on GPUs; ``auto`` is resolved on one of them, since the node of this
        process may have none.
    """
    if not gpu or setting != "auto":
        return resolved_precision(setting, torch.device("cpu"))
    task = ray.remote(resolved_precision).options(num_gpus=1)
    precision: Precision = ray.get(task.remote(setting, torch.device("cuda")))
    return precision

"""Training and embedding on a Ray cluster: Ray Train (gloo on CPUs, NCCL on GPUs) and Ray tasks.

Legend: n images of a training, N images, D embedding dimensions.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import ray
import ray.train
import torch
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError, RayError
from ray.train import ControllerError
from ray.train.torch import TorchTrainer
from ray.util.queue import Empty, Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import Tensor

from rayred.config import Train
from rayred.data.dataset import Dataset, Split
from rayred.errors import RayredError
from rayred.machines.connect import MAX_FAILURES
from rayred.machines.failures import ray_reason
from rayred.machines.layout import Scaling
from rayred.machines.scaling import nodes_watched
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
WAIT_SECONDS = 60.0
"""Seconds between two lines that say which machines a training waits for."""
RESIZE_SECONDS = 30.0
"""Seconds, beyond those between two checkpoints, after which a training takes more workers.

With them it begins again from its last checkpoint, and a new one should be there.
"""
LOOK_SECONDS = 5.0
"""Seconds between two looks at how many tasks fit into the cluster."""
STOP_SECONDS = 5
"""How long to wait for the last update; none comes if Ray's own processes have ended."""
END_SECONDS = 2
"""How long to wait for a training that is told to end: its workers do at their next update."""


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
        The training lost its workers more than `MAX_FAILURES` times, without those whose machine
        was taken away with notice.
    """
    config = {
        "task": task,
        "dataset": dataset_ref,
        "indices": indices_ref,
        "threads": scaling.threads,
        "storage": storage,
        "name": name,
    }
    is_elastic = scaling.fewest < scaling.workers
    scaling_config = ray.train.ScalingConfig(
        num_workers=(scaling.fewest, scaling.workers) if is_elastic else scaling.workers,
        elastic_resize_monitor_interval_s=60 * task.recipe.checkpoint_minutes + RESIZE_SECONDS,
        use_gpu=scaling.gpu,
        resources_per_worker={"CPU": scaling.cpus, "GPU": int(scaling.gpu)},
    )
    run_config = ray.train.RunConfig(
        name=name,
        storage_path=storage,
        failure_config=ray.train.FailureConfig(
            max_failures=MAX_FAILURES,
            max_preemption_failures=-1,  # any number of machines that are taken away
        ),
        callbacks=[_FailsAtOnce()],
    )
    try:
        with _live_line(task.recipe, scaling.workers) as live, _losses_said(live):
            trainer = TorchTrainer(
                _train_worker,
                train_loop_config=config | {"live": live},
                scaling_config=scaling_config,
                run_config=run_config,
            )
            result = _fit(trainer, name, scaling, live)
    except ray.train.TrainingFailedError as error:
        if isinstance(error, ControllerError) and isinstance(error.controller_failure, RayredError):
            raise error.controller_failure from None
        raise RayredError(
            f"{name}: given up: {ray_reason(error)}; run again to go on from the last checkpoint"
        ) from error
    trained: Trained = result.return_value
    return trained


def _losses_said(live: Queue | None) -> AbstractContextManager[None]:
    """Say which nodes are lost, unless this is within a trial: then the sweep does."""
    if live is None:
        return nullcontext()
    return nodes_watched(lambda: "the training goes on from its last checkpoint")


def _fit(trainer: TorchTrainer, name: str, scaling: Scaling, live: Queue | None) -> Any:
    """Return the result of Ray Train, and say what it waits for.

    It runs in a thread of its own: in the main thread, Ray would set a handler of Ctrl-C that ends
    the process with exit code 1 and without a message. When the caller is interrupted, the process
    of the live line is ended, and the first worker ends the training when it notices.
    """
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def fit() -> None:
        try:
            ended.put(trainer.fit())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            ended.put(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()
    try:
        while True:
            with suppress(queue.Empty):
                outcome = ended.get(timeout=WAIT_SECONDS)
                break
            _say_what_is_missing(name, scaling)
    except BaseException:
        if live is not None:
            ray.kill(live.actor)
        thread.join(END_SECONDS)
        raise
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _say_what_is_missing(name: str, scaling: Scaling) -> None:
    """Say that a training waits for machines, if the cluster has too few."""
    room = _room(scaling)
    if room < scaling.fewest:
        logger.warning(
            "%s: waits for %d workers; the cluster has room for %d", name, scaling.fewest, room
        )


def _room(scaling: Scaling) -> int:
    """Return how many processes of a stage fit into the cluster as it is now."""
    needed = {"CPU": scaling.cpus, "GPU": int(scaling.gpu)}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(
        min(int(node.get(kind, 0) // each) for kind, each in needed.items() if each)
        for node in nodes
    )


def _train_worker(config: dict[str, Any]) -> Trained:
    """Train on one worker, and return the training; Ray Train passes on that of the first."""
    torch.set_num_threads(config["threads"])
    task: Task = config["task"]
    dataset, indices = ray.get([config["dataset"], config["indices"]])
    context = ray.train.get_context()
    shard = Shard(context.get_world_rank(), context.get_world_size())
    is_first = shard.rank == 0
    checkpoints = Checkpoints(config["storage"], config["name"])
    live = _Live(config["live"] if is_first else None, shard.world)
    device = ray.train.torch.get_device()
    try:
        outcome = train_model(
            task,
            dataset,
            indices,
            live.report,
            save=checkpoints.save if is_first else _save_nothing,
            tick=live.tick,
            worker=Worker(device, shard, ray.train.get_preemption_info),
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
    """Puts step and loss of a training, and its number of workers, into the queue of its line.

    Where the queue's process has ended, the caller of the training has stopped, and so it ends.
    """

    def __init__(self, live: Queue | None, workers: int) -> None:
        self.live = live
        self.workers = workers
        self.loss: float | None = None  # until the first epoch ends
        self.last = 0.0

    def report(self, point: Point) -> None:
        self.loss = point.train_loss

    def tick(self, step: int) -> None:
        if self.live is None or time.monotonic() - self.last <= LIVE_SECONDS:
            return
        self.last = time.monotonic()
        try:
            self.live.put((step, self.loss, self.workers))
        except ActorDiedError as error:
            raise RayredError("the training was stopped by its caller") from error


@contextmanager
def _live_line(recipe: Train, workers: int) -> Iterator[Queue | None]:
    """Show steps and losses put into a queue; None within a trial, as the sweep has the line.

    It ends with the queue's process, which ends a training that still puts something into it.
    """
    if ray.get_runtime_context().get_actor_id() is not None:
        yield None
        return
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    live = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    images, ended = recipe.batch_size, threading.Event()
    with progress_bar("training", "image", recipe.steps * images) as bar:

        def draw() -> None:
            while not ended.is_set() or not live.empty():
                try:
                    step, loss, there = live.get(timeout=LIVE_SECONDS)
                except Empty:
                    continue
                said = "" if loss is None else f", loss {loss:.3f}"
                said += "" if there == workers else f", {there} of {workers} workers"
                bar.set_postfix_str(f"step {step:,} of {recipe.steps:,}{said}")
                bar.update(step * images - bar.n)

        def draw_until_lost() -> None:
            with suppress(RayError):  # the training tells what is lost
                draw()

        thread = threading.Thread(target=draw_until_lost, daemon=True)
        thread.start()
        try:
            yield live
        finally:
            ended.set()
            thread.join(STOP_SECONDS)
    live.shutdown(force=True)


def embed_with_ray(
    load: LoadEmbedder,
    weights: Mapping[str, Tensor],
    split: Split,
    ranges: Sequence[Range],
    scaling: Scaling,
) -> Iterator[tuple[Range, NDArray[np.float32]]]:
    """Yield the embeddings of ranges of images, computed by parallel Ray tasks.

    A task is sent its own images, or where they are, and no others.

    Parameters
    ----------
    load, weights
        What makes the network on a worker, and its weights.
    split
        The N images.
    ranges
        First image and the image after the last of each range.
    scaling
        The resources of each task. As many run at a time as fit into the cluster, whose machines
        may come and go.

    Yields
    ------
    range, embeddings
        A range and its (n, D) float32 embeddings, in the order in which they are computed.
    """
    weights_ref = ray.put({name: tensor.numpy() for name, tensor in weights.items()})
    task = ray.remote(_embed_part).options(
        num_cpus=scaling.cpus, num_gpus=1 if scaling.gpu else 0, max_retries=MAX_FAILURES
    )
    waiting = list(ranges)
    running: dict[ray.ObjectRef[NDArray[np.float32]], Range] = {}
    room, looked = _room(scaling), time.monotonic()
    while waiting or running:
        if time.monotonic() - looked >= LOOK_SECONDS:
            room, looked = _room(scaling), time.monotonic()
        # One more than can run: so workers need not wait, and few results are in memory at a time.
        while waiting and len(running) <= room:
            part = waiting.pop(0)
            images = replace(split.part(*part), left_out=(), notices=())
            running[task.remote(load, weights_ref, images, scaling)] = part
        done, _ = ray.wait(list(running), timeout=LOOK_SECONDS)
        for one in done:
            yield running.pop(one), ray.get(one)


def _embed_part(
    load: LoadEmbedder,
    weights: Mapping[str, NDArray[np.float32]],
    images: Split,
    scaling: Scaling,
) -> NDArray[np.float32]:
    torch.set_num_threads(scaling.threads)
    model = load({name: torch.tensor(array) for name, array in weights.items()})
    device = torch.device("cuda" if scaling.gpu else "cpu")
    return embed_images(model, images, device)


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

"""Training, evaluation and embedding against bare torch loops over the same tensors; memory.

ResNet-8 on random images of CIFAR-10's shape, in batches of 128, on one thread. Rivals take turns,
and the best of their rounds counts: other work on the machine only ever adds time.

    .venv/bin/python -m benchmarks.training
"""

from __future__ import annotations

import io
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from benchmarks.record import print_table, random_images, write_results
from rayred.config import Data, Sweep, Train
from rayred.config.file import load_experiment
from rayred.data import load_dataset
from rayred.data.dataset import Dataset, Split
from rayred.machines.connect import WORKER_SETTINGS, connect
from rayred.machines.layout import Layout, Scaling
from rayred.machines.tune import Runner
from rayred.models import build_model
from rayred.sweep.on_ray import PackTraining, run_sweep
from rayred.sweep.plan import plan_trials
from rayred.training import Task, embed_images, evaluate, train_model
from rayred.training.batches import EVALUATION_BATCH
from rayred.training.on_ray import train_with_ray
from rayred.training.recipe import RecipeOptimizer, learning_rate

BATCH = 128
STEPS = 60
ROUNDS = 5
TEST_IMAGES = 4_096
CPU = torch.device("cpu")


def make_task(dataset: Dataset, steps: int = STEPS) -> Task:
    """Return the training that is measured."""
    recipe = Train.model_validate({"recipe": "fast", "steps": steps, "batch_size": BATCH})
    return Task.for_dataset("resnet8", dataset, recipe, 0)


def bare_training(task: Task, dataset: Dataset) -> float:
    """Train by the shortest loop there is, without augmentation; returns seconds."""
    model = build_model(task.spec).train()
    optimizer = RecipeOptimizer(task.recipe, model)
    images = torch.from_numpy(dataset.train.images).permute(0, 3, 1, 2)
    labels = torch.from_numpy(dataset.train.labels)
    started = time.perf_counter()
    for step in range(task.recipe.steps):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        F.cross_entropy(model(images[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step(learning_rate(task.recipe, step))
    return time.perf_counter() - started


@torch.inference_mode()
def bare_passes(task: Task, split: Split) -> float:
    """Pass all images of a split through the network; returns seconds."""
    model = build_model(task.spec).eval()
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2)
    started = time.perf_counter()
    for first in range(0, len(images), EVALUATION_BATCH):
        model(images[first : first + EVALUATION_BATCH])
    return time.perf_counter() - started


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def against(ours: Callable[[], float], bare: Callable[[], float]) -> tuple[float, float]:
    """Return the least seconds of both, which take turns."""
    rounds = [(ours(), bare()) for _ in range(ROUNDS)]
    return min(a for a, _ in rounds), min(b for _, b in rounds)


def single_process() -> list[list[str]]:
    """Measure training, evaluation and embedding in this process."""
    torch.set_num_threads(1)
    dataset = random_images(train=STEPS * BATCH)
    task, test = make_task(dataset), dataset.test
    compiled = replace(task, recipe=task.recipe.model_copy(update={"compile": True}))
    everything = np.arange(len(dataset.train))
    model = build_model(task.spec)
    work = {
        "training": (
            STEPS * BATCH,
            lambda: train_model(task, dataset, everything).train_seconds,
            lambda: bare_training(task, dataset),
        ),
        "training, compiled": (
            STEPS * BATCH,
            lambda: train_model(compiled, dataset, everything).train_seconds,
            lambda: bare_training(task, dataset),
        ),
        "evaluation": (
            TEST_IMAGES,
            lambda: timed(lambda: evaluate(model, test)),
            lambda: bare_passes(task, test),
        ),
        "embedding": (
            TEST_IMAGES,
            lambda: timed(lambda: embed_images(model, test, CPU)),
            lambda: bare_passes(task, test),
        ),
    }
    rows = []
    for name, (images, ours, bare) in work.items():
        a, b = against(ours, bare)
        rows.append([name, f"{images / a:,.0f}", f"{images / b:,.0f}", f"{b / a:.2f}"])
    return rows


def streamed() -> list[str]:
    """Measure training on PNG images that are decoded from Parquet files, against in memory."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = random_images(train=STEPS * BATCH, test=BATCH)
        for name, split in (("train", dataset.train), ("test", dataset.test)):
            images = [{"bytes": png(image), "path": ""} for image in np.asarray(split.images)]
            table = pa.table({"image": images, "label": split.labels})
            pq.write_table(table, f"{folder}/{name}.parquet")
        data = Data(test=f"parquet:{folder}/test*", root=folder, image_size=32, load="stream")
        files = load_dataset(f"parquet:{folder}/train*", data)
        everything = np.arange(len(dataset.train))
        ours, memory = against(
            *(
                lambda of=of: train_model(make_task(of), of, everything).train_seconds
                for of in (files, dataset)
            )
        )
    rates = [f"{STEPS * BATCH / seconds:,.0f}" for seconds in (ours, memory)]
    return ["streamed from Parquet, against in memory", *rates, f"{memory / ours:.2f}"]


def png(image: NDArray[np.uint8]) -> bytes:
    """Return an image as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def two_workers() -> list[list[str]]:
    """Measure two workers of one thread against one, at the same global batch."""
    dataset = random_images(train=STEPS * BATCH)
    small = load_experiment(Path("experiments/cifar10-small.yaml"))
    recipe = small.train.model_copy(update={"steps": STEPS // 2})
    tasks = [make_task(dataset, 3 * STEPS), Task.for_dataset(small.model, dataset, recipe, 0)]
    rows = []
    with tempfile.TemporaryDirectory() as folder, connect("local"):
        refs = ray.put(dataset), ray.put(np.arange(len(dataset.train)))
        for task in tasks:
            name, size = task.spec.name, task.recipe.batch_size
            rounds = [
                [
                    train_with_ray(
                        task, *refs, Scaling(workers=workers), folder, f"{name}-{workers}-{turn}"
                    ).train_seconds
                    for workers in (2, 1)
                ]
                for turn in range(3)
            ]
            two, one = (min(seconds) for seconds in zip(*rounds, strict=True))
            rates = [f"{task.recipe.steps * size / seconds:,.0f}" for seconds in (two, one)]
            work = f"two workers against one: {name}, batches of {size}"
            rows.append([work, *rates, f"{one / two:.2f}"])
    return rows


def memory_of_trials(trials: int = 4) -> dict[str, float]:
    """Return the memory that each of some trials at a time has for itself, and shares."""
    dataset = random_images()
    private: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        ray.init(num_cpus=trials, include_dashboard=False, log_to_driver=False)
        sweep = Sweep(fractions=[1.0], selectors=["random"], trials=trials)
        one = Scaling()
        layout = Layout(one, one, one, one, trials, 1, 1, folder)
        plan = plan_trials(sweep, 0)
        subsets = {"full-1.0": ray.put(np.arange(len(dataset.train)))}
        keys = {trial.name: trial.name for trial in plan}
        train = PackTraining(make_task(dataset), ray.put(dataset), subsets, keys, layout)
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                for pid, title in processes():
                    if "_train_and_report" in title or "ImplicitFunc" in title:
                        private[pid] = max(private.get(pid, 0), private_megabytes(pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        list(run_sweep(plan, len(plan), train, Runner("sweep", layout)))
        ended.set()
        watcher.join()
        ray.shutdown()
    assert len(private) == trials, private
    images = np.asarray(dataset.train.images).nbytes / 2**20
    return {"trials": trials, "images_mb": images, "private_mb_a_trial": max(private.values())}


def processes() -> list[tuple[int, str]]:
    """Return all processes and their titles."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((int(entry.name), (entry / "cmdline").read_text()))
            except OSError:
                continue
    return found


def private_megabytes(pid: int) -> float:
    """Return the memory that a process shares with no other; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def main() -> None:
    """Measure all, print a table and write JSON."""
    os.environ |= WORKER_SETTINGS  # as rayred's own workers have them, the rivals too
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        rows = process.submit(single_process).result()
        rows.append(process.submit(streamed).result())
    rows += two_workers()
    memory = memory_of_trials()
    print_table(["work", "images/s", "rival's", "ratio"], rows)
    print(
        f"{memory['trials']} trials at a time on {memory['images_mb']:.0f} MB of images:"
        f" {memory['private_mb_a_trial']:.0f} MB a trial of its own"
    )
    path = write_results("training", {"cores": os.cpu_count(), "rows": rows, "memory": memory})
    print(f"written to {path}")


if __name__ == "__main__":
    main()

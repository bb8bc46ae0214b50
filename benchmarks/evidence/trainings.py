"""Many small trainings in processes of one thread each, each noted in a file when it has finished.

Legend: N training images, M test images, n images of a subset.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rayred.config import Data, Train
from rayred.data import load_dataset
from rayred.data.dataset import Dataset, Split
from rayred.machines.connect import WORKER_SETTINGS
from rayred.training import Outcome, Task, evaluate, train_model

CLASSES = ("cat", "deer", "dog")
"""Of CIFAR-10."""
MODEL = "resnet8"
PRECISION = "bfloat16"
"""Twice the images a second of float32, on GPUs and on processors that multiply in it."""
FINISHED = "finished.jsonl"
REFERENCE_SEED = 1_000
"""Of the first reference."""

Rows = NDArray[np.int64]
DEFAULTS: Mapping[str, Any] = {}
Work = Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Training:
    """A training, by what the study varies."""

    arm: str
    """How the images were chosen."""
    fraction: float
    """Share of every class."""
    steps: int
    """Optimiser steps."""
    seed: int
    """Of the network, the order of images and augmentation."""


@dataclass(frozen=True)
class Finished:
    """A training and its result."""

    training: Training
    correct: NDArray[np.bool_]
    """(M,) the test images classified correctly."""
    fitted: float | None = None
    """Percent of its training images classified correctly; `None` if that was not noted."""

    @property
    def accuracy(self) -> float:
        """Percent of the test images."""
        return 100 * float(self.correct.mean())

    def trial(self) -> dict[str, Any]:
        """Return the training and its accuracy."""
        found = asdict(self.training) | {"accuracy": round(self.accuracy, 2)}
        return found if self.fitted is None else found | {"fitted": round(self.fitted, 2)}

    def note(self) -> dict[str, Any]:
        """Return what is noted of it beside the training."""
        bits = np.packbits(self.correct).tobytes().hex()
        return {"accuracy": self.accuracy, "fitted": self.fitted, "correct": bits}

    @classmethod
    def of_note(cls, note: dict[str, Any], test_images: int) -> Finished:
        """Return what a line of the notes says."""
        bits = np.frombuffer(bytes.fromhex(note["correct"]), np.uint8)
        correct = np.unpackbits(bits, count=test_images).astype(bool)
        training = Training(**{field.name: note[field.name] for field in fields(Training)})
        return cls(training, correct, note.get("fitted"))


def some_classes(
    dataset: str, test: str, names: Iterable[str], folder: Path, most: int | None = None
) -> Dataset:
    """Return the images of some classes, decoded once and then kept in a folder.

    Of each class the first `most` training images.
    """
    file = folder / "images.npz"
    if not file.exists():
        whole = load_dataset(dataset, Data.model_validate({"test": test}))
        labels = np.array([whole.classes.index(name) for name in names])
        arrays: dict[str, Any] = {"classes": np.array(list(names))}
        for part, split in (("train", whole.train), ("test", whole.test)):
            first = most if part == "train" else None
            rows = np.concatenate([np.flatnonzero(split.labels == k)[:first] for k in labels])
            rows.sort()
            arrays[f"{part}_images"] = split.images[rows]
            arrays[f"{part}_labels"] = np.argmax(split.labels[rows, None] == labels, axis=1)
            arrays[f"{part}_names"] = np.array([split.names[row] for row in rows.tolist()])
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part.npz")
        np.savez(unfinished, **arrays)
        unfinished.rename(file)
    return _of_file(file)


@cache
def _of_file(file: Path) -> Dataset:
    with np.load(file) as arrays:
        classes = tuple(arrays["classes"].tolist())
        splits = [
            Split(
                arrays[f"{part}_images"],
                arrays[f"{part}_labels"],
                arrays[f"{part}_names"].tolist(),
                classes,
            )
            for part in ("train", "test")
        ]
    return Dataset(file.parent.name, *splits)


def train(
    dataset: Dataset, rows: Rows, steps: int, seed: int, settings: Mapping[str, Any] = DEFAULTS
) -> Outcome:
    """Train a network on some images, in this process; `settings` are those of `train.*`."""
    given = {"recipe": "fast", "steps": steps, "precision": PRECISION}
    recipe = Train.model_validate(given | dict(settings))
    return train_model(Task.for_dataset(MODEL, dataset, recipe, seed), dataset, rows)


def finished(folder: Path, dataset: Dataset) -> list[Finished]:
    """Return the trainings that a folder has noted."""
    return [Finished.of_note(note, len(dataset.test)) for note in notes(folder)]


def notes(folder: Path) -> list[dict[str, Any]]:
    """Return what a folder has noted; the rest of a line that a killed study began is removed."""
    file = folder / FINISHED
    text = file.read_text() if file.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole)
    return [json.loads(line) for line in whole.splitlines()]


def do_missing(
    jobs: Iterable[Any], work_of: Callable[[Any], Work], folder: Path, processes: int
) -> None:
    """Do the jobs that a folder has not noted yet, in their order.

    Parameters
    ----------
    jobs
        Dataclasses of numbers and text, all different.
    work_of
        Returns the work of a job, which another process does: it returns what is noted of it.
    folder
        Gets a line of JSON for each job that has been done: its fields, what its work returned, and
        `cpu`, the instructions that torch may use.
    processes
        Number of jobs at a time.
    """
    done = notes(folder)
    missing = [job for job in jobs if not any(asdict(job).items() <= note.items() for note in done)]
    os.environ.update(WORKER_SETTINGS)
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), torch.set_num_threads, (1,)
    )
    with pool, (folder / FINISHED).open("a") as file:
        running = {pool.submit(work_of(job)): job for job in missing}
        for count, future in enumerate(as_completed(running), 1):
            cpu = torch.backends.cpu.get_cpu_capability()
            note = asdict(running[future]) | future.result() | {"cpu": cpu}
            print(json.dumps(note), file=file, flush=True)
            print(f"{count} of {len(missing)}: {running[future]}", flush=True)


def train_missing(
    trainings: Iterable[Training],
    rows_of: Callable[[Training], Rows],
    folder: Path,
    processes: int,
    settings: Mapping[str, Any] = DEFAULTS,
) -> None:
    """Do the trainings that a folder has not noted yet, each on the (n,) rows of a function.

    The folder has the images, see `some_classes`.
    """
    do_missing(
        trainings,
        lambda one: partial(_train, folder / "images.npz", one, rows_of(one), settings),
        folder,
        processes,
    )


def _train(
    file: Path, training: Training, rows: Rows, settings: Mapping[str, Any]
) -> dict[str, Any]:
    dataset = _of_file(file)
    outcome = train(dataset, rows, training.steps, training.seed, settings)
    images = dataset.train
    names = [images.names[row] for row in rows.tolist()]
    own = Split(np.asarray(images.images)[rows], images.labels[rows], names, images.classes)
    fitted = 100 * evaluate(outcome.model, own)
    return Finished(training, outcome.correct, fitted).note()


def arguments(description: str | None, folder: str) -> argparse.ArgumentParser:
    """Return the arguments of a study on photos, which by default notes in `folder`."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("dataset", help="training images, as `dataset` of an experiment")
    parser.add_argument("--test", required=True, help="test images, as `data.test`")
    parser.add_argument("--out", type=Path, default=Path(folder), help="folder of the study")
    parser.add_argument("--processes", type=int, default=2, help="trainings at a time")
    return parser

"""Many small trainings in processes of one thread each, each noted in a file when it has finished.

Legend: N training images, M test images, n images of a subset.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rayred.config import Data, Train
from rayred.data import load_dataset
from rayred.data.dataset import Dataset, Split
from rayred.machines.connect import WORKER_SETTINGS
from rayred.training import Outcome, Task, train_model

MODEL = "resnet8"
FINISHED = "finished.jsonl"

Rows = NDArray[np.int64]
_loaded: list[Dataset] = []


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

    @property
    def accuracy(self) -> float:
        """Percent of the test images."""
        return 100 * float(self.correct.mean())

    def line(self) -> str:
        """Return it as a line of JSON."""
        bits = np.packbits(self.correct).tobytes().hex()
        return json.dumps(asdict(self.training) | {"accuracy": self.accuracy, "correct": bits})

    @classmethod
    def of_line(cls, line: str, test_images: int) -> Finished:
        """Return what a line says."""
        content: dict[str, Any] = json.loads(line)
        bits = np.frombuffer(bytes.fromhex(content.pop("correct")), np.uint8)
        del content["accuracy"]
        correct = np.unpackbits(bits, count=test_images).astype(bool)
        return cls(Training(**content), correct)


def some_classes(dataset: str, test: str, names: Iterable[str], folder: Path) -> Dataset:
    """Return the images of some classes, decoded once and then kept in a folder."""
    file = folder / "images.npz"
    if not file.exists():
        whole = load_dataset(dataset, Data.model_validate({"test": test}))
        labels = np.array([whole.classes.index(name) for name in names])
        arrays: dict[str, Any] = {"classes": np.array(list(names))}
        for part, split in (("train", whole.train), ("test", whole.test)):
            rows = np.flatnonzero(np.isin(split.labels, labels))
            arrays[f"{part}_images"] = split.images[rows]
            arrays[f"{part}_labels"] = np.argmax(split.labels[rows, None] == labels, axis=1)
            arrays[f"{part}_names"] = np.array([split.names[row] for row in rows.tolist()])
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part.npz")
        np.savez(unfinished, **arrays)
        unfinished.rename(file)
    return _of_file(file)


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


def train(dataset: Dataset, rows: Rows, steps: int, seed: int) -> Outcome:
    """Train a network on some images, in this process."""
    recipe = Train.model_validate({"recipe": "fast", "steps": steps})
    return train_model(Task.for_dataset(MODEL, dataset, recipe, seed), dataset, rows)


def finished(folder: Path, dataset: Dataset) -> list[Finished]:
    """Return the trainings that a folder has noted."""
    file = folder / FINISHED
    lines = file.read_text().splitlines() if file.exists() else []
    return [Finished.of_line(line, len(dataset.test)) for line in lines]


def train_missing(
    trainings: Iterable[Training],
    rows_of: Callable[[Training], Rows],
    folder: Path,
    processes: int,
) -> None:
    """Do the trainings that a folder has not noted yet, in their order.

    Parameters
    ----------
    trainings
        The trainings of a study.
    rows_of
        Returns the (n,) training images of one.
    folder
        Has the images, see `some_classes`, and gets a line for each finished training.
    processes
        Number of trainings at a time.
    """
    done = {one.training for one in finished(folder, _of_file(folder / "images.npz"))}
    missing = [one for one in trainings if one not in done]
    os.environ.update(WORKER_SETTINGS)
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _load, (folder / "images.npz",)
    )
    with pool, (folder / FINISHED).open("a") as file:
        running = {pool.submit(_train, one, rows_of(one)): one for one in missing}
        for count, future in enumerate(as_completed(running), 1):
            print(Finished(running[future], future.result()).line(), file=file, flush=True)
            print(f"{count} of {len(missing)} trainings", flush=True)


def _load(file: Path) -> None:
    torch.set_num_threads(1)
    _loaded.append(_of_file(file))


def _train(training: Training, rows: Rows) -> NDArray[np.bool_]:
    return train(_loaded[0], rows, training.steps, training.seed).correct

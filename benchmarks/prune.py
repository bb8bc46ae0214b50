"""Pruning images on disk, against the bare pieces of the same work.

The images of a data set's training split are written as PNG into Parquet files, as hubs have them;
then `rayred.prune` keeps 90 % of each class, from the call to the tables on disk, the start of Ray
included and imports left out. Two spaces are compared: ``pixels`` has no network, and ``reference``
embeds by the ResNet-8 of an earlier run, which was trained for a few steps.

The bare pieces know the files and check and write nothing: Pillow in as many threads as there are
cores; the thumbnails, or one forward pass of the same network in a plain loop of torch; and the
linkage of each class with its representatives. Both take turns, each in
a process of its own.

    .venv/bin/python -m benchmarks.prune parquet:TRAIN_GLOB [--images N] [--rounds N]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.record import print_table, write_results
from benchmarks.training import png
from rayred import prune
from rayred.config import Data
from rayred.data import Dataset, Split, load_train_split
from rayred.data.thumbnails import thumbnails
from rayred.linkage import complete_linkage, representatives
from rayred.models import ModelSpec, build_model
from rayred.training.batches import EVALUATION_BATCH

KEEP = 0.9
STEPS = 20
"""Training steps of the earlier run's reference."""
EARLIER = "earlier"
"""Folder of that run."""
FILES = 4
CHUNK = 256
"""Images that a thread of bare decoding takes at a time."""
SPACES = ("pixels", "reference")


def write_parquet(folder: Path, split: Split, n: int) -> None:
    """Write the first images as PNG into some Parquet files, ``{bytes, path}`` and a label."""
    for number, rows in enumerate(np.array_split(np.arange(min(n, len(split))), FILES)):
        images = [
            {"bytes": png(image), "path": f"{row}.png"}
            for row, image in zip(rows, split.images[rows], strict=True)
        ]
        table = pa.table({"image": images, "label": split.labels[rows]})
        pq.write_table(table, folder / f"train-{number}.parquet")


def settings(folder: Path) -> dict[str, Any]:
    """Return data set and settings of all calls of `prune`."""
    overrides = ["model=resnet8", f"train.steps={STEPS}", f"data.root={folder / 'root'}"]
    return {"dataset": f"parquet:{folder}/train-*.parquet", "keep": KEEP, "overrides": overrides}


def ours(folder: Path, space: str) -> dict[str, float]:
    """Prune by rayred, and return the seconds that it takes."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        started = time.perf_counter()
        prune(
            out=Path(out) / "pruned",
            pixels=space == "pixels",
            reference=folder / EARLIER if space == "reference" else None,
            **settings(folder),
        )
        return {"rayred": time.perf_counter() - started}


def bare(folder: Path, space: str) -> dict[str, float]:
    """Do the same by the bare pieces, and return the seconds of each."""
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - started

    with timed("decoding"):
        images, labels = decode(sorted(folder.glob("train-*.parquet")))
    names, classes = [str(row) for row in range(len(labels))], tuple(map(str, np.unique(labels)))
    split = Split(images, labels, names, classes)
    if space == "pixels":
        with timed("thumbnails"):
            x = thumbnails(split)
    else:
        spec = ModelSpec.for_dataset("resnet8", Dataset("bare", split, split))
        with timed("one forward pass"):
            x = embed(build_model(spec).eval(), images)
    with timed("clustering"):
        for label in range(len(classes)):
            rows = x[labels == label]
            count = round(KEEP * len(rows))
            representatives(rows, complete_linkage(rows, count).labels(count))
    return seconds


def decode(files: list[Path]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images and labels of Parquet files, decoded by Pillow alone."""
    table = pa.concat_tables([pq.read_table(file) for file in files])
    encoded = table["image"].combine_chunks().field("bytes").to_pylist()

    def chunk(first: int) -> list[NDArray[np.uint8]]:
        some = encoded[first : first + CHUNK]
        return [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in some]

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        chunks = list(threads.map(chunk, range(0, len(encoded), CHUNK)))
    return np.stack([image for some in chunks for image in some]), table["label"].to_numpy()


@torch.inference_mode()
def embed(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the embeddings of all images by a plain loop."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    batches = range(0, len(x), EVALUATION_BATCH)
    found: NDArray[np.float32] = torch.cat(
        [model.embed(x[first : first + EVALUATION_BATCH]) for first in batches]
    ).numpy()
    return found


WAYS = {"rayred": ours, "bare": bare}


def measure(way: str, space: str, folder: Path) -> dict[str, float]:
    """Measure one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.prune", "--one", way, space, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(space, way, {name: round(seconds, 1) for name, seconds in found.items()}, flush=True)
    return found


def measure_round(space: str, folder: Path) -> dict[str, float]:
    """Measure both ways once, and the load of the machine meanwhile."""
    found = measure("bare", space, folder) | measure("rayred", space, folder)
    pieces = sum(seconds for name, seconds in found.items() if name != "rayred")
    found |= {"ratio": found["rayred"] / pieces, "load": os.getloadavg()[0]}
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    """Measure some rounds, print a table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dataset", nargs="?", help="cifar10, or parquet:GLOB")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        way, space, folder = given.one
        print(json.dumps(WAYS[way](Path(folder), space)))
        return
    with tempfile.TemporaryDirectory() as place:
        split = load_train_split(given.dataset, Data(load="memory"))
        write_parquet(Path(place), split, given.images)
        prune(out=Path(place) / EARLIER, dry_run=True, **settings(Path(place)))
        rounds = {
            space: [measure_round(space, Path(place)) for _ in range(given.rounds)]
            for space in SPACES
        }
    for space, runs in rounds.items():
        print(f"\n{space}, median of {given.rounds}")
        figures = {name: median(run[name] for run in runs) for name in runs[0]}
        print_table(
            ["piece", "seconds"], [[name, f"{value:.2f}"] for name, value in figures.items()]
        )
    images = min(given.images, len(split))
    print(write_results("prune", {"images": images, "keep": KEEP, "steps": STEPS, **rounds}))


if __name__ == "__main__":
    main()

"""Reading small images, against Pillow alone: from files and Parquet, into memory and streamed.

The images are of CIFAR-10's size, PNG. Bare decoding opens each image and turns it into an array,
in as many threads as there are cores; it knows the files, has no labels and checks nothing. Each
ratio is the time of rayred over that of bare decoding in the same round: below 1 it is faster.

    .venv/bin/python -m benchmarks.data [IMAGES [ROUNDS]]
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.record import print_table, write_results
from rayred.config import Data
from rayred.data import load_train_split

SIDE = 32
BATCH = 128
CHUNK = 256
"""Images of a task of bare decoding."""


def write_images(folder: Path, count: int) -> tuple[list[Path], list[bytes]]:
    """Write smooth random images as PNG files of 10 classes, and as one Parquet file."""
    rng = np.random.default_rng(0)
    paths, encoded = [], []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, "PNG")
        place = folder / "files" / str(number % 10)
        place.mkdir(parents=True, exist_ok=True)
        paths.append(place / f"{number:06}.png")
        paths[-1].write_bytes(file.getvalue())
        encoded.append(file.getvalue())
    images = [{"bytes": content, "path": None} for content in encoded]
    labels = [number % 10 for number in range(count)]
    pq.write_table(pa.table({"image": images, "label": labels}), folder / "images.parquet")
    return paths, encoded


def bare(images: Sequence[Path | bytes]) -> None:
    """Decode all images by Pillow alone."""

    def chunk(first: int) -> None:
        for image in images[first : first + CHUNK]:
            opened = Image.open(io.BytesIO(image) if isinstance(image, bytes) else image)
            np.asarray(opened.convert("RGB"))

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(chunk, range(0, len(images), CHUNK)))


def batches(name: str, data: Data, count: int) -> Callable[[], None]:
    """Return a function that decodes all images of a streamed data set in random batches."""
    split = load_train_split(name, data)
    split.images[np.arange(1)]  # the copy of Parquet rows is made at the first use
    order = np.random.default_rng(1).permutation(count)

    def run() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for first in range(0, count, BATCH):
                split.images.crop(order[first : first + BATCH], None, threads)  # type: ignore[union-attr]

    return run


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def measure(folder: Path, paths: list[Path], encoded: list[bytes]) -> dict[str, float]:
    """Return seconds of every way, each measured once."""
    root, count = folder / "root", len(paths)
    shutil.rmtree(root, ignore_errors=True)
    names = {"folder": f"folder:{folder / 'files'}", "parquet": f"parquet:{folder}/images.parquet"}
    memory = Data(load="memory", root=str(root))
    stream = Data(load="stream", root=str(root), image_size=SIDE)
    found = {"bare_files": seconds(lambda: bare(paths))}
    found["folder_first"] = seconds(lambda: load_train_split(names["folder"], memory))
    found["folder_again"] = seconds(lambda: load_train_split(names["folder"], memory))
    found["folder_stream"] = seconds(batches(names["folder"], stream, count))
    found["bare_bytes"] = seconds(lambda: bare(encoded))
    found["parquet_first"] = seconds(lambda: load_train_split(names["parquet"], memory))
    found["parquet_again"] = seconds(lambda: load_train_split(names["parquet"], memory))
    found["parquet_stream"] = seconds(batches(names["parquet"], stream, count))
    return found


def main() -> None:
    """Measure some rounds, print a table and write JSON."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths, encoded = write_images(folder, count)
        runs = [measure(folder, paths, encoded) for _ in range(rounds)]
    ratios = {
        name: round(
            median(
                run[name] / run["bare_bytes" if name.startswith("parquet") else "bare_files"]
                for run in runs
            ),
            2,
        )
        for name in runs[0]
    }
    print_table(
        ["way", "seconds", "ratio to bare decoding"],
        [
            [name, f"{median(run[name] for run in runs):.2f}", f"{ratio:.2f}"]
            for name, ratio in ratios.items()
        ],
    )
    rounded = [{name: round(value, 2) for name, value in run.items()} for run in runs]
    print(write_results("data", {"images": count, "ratios": ratios, "seconds": rounded}))


if __name__ == "__main__":
    main()

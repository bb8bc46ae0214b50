"""Planted leaks, found by rayred and by other libraries that look for copies of images.

The images and the alterations are those of the leaks benchmark, of fewer images, as some rivals
compare all pairs in Python. Each library is called in a process of its own, with the limits that it
has by default, and imagededup and semhash also with those of rayred. From the folder of rivals,
each takes what it needs beside rayred's own environment; one that is not there is passed over:

    uv pip install --no-deps --target RIVALS/imagededup imagededup PyWavelets
    uv pip install --no-deps --target RIVALS/cleanvision cleanvision tabulate
    uv pip install --no-deps --target RIVALS/dataeval dataeval lightgbm maite numba llvmlite \
polars polars-runtime-32 xxhash
    uv pip install --no-deps --target RIVALS/semhash semhash model2vec vicinity usearch frozendict \
pyversity simsimd tokenizers safetensors orjson numkong
    .venv/bin/python -m benchmarks.leaks_rivals parquet:TRAIN_GLOB --test TEST_GLOB --rivals RIVALS

The seconds are those of the processor in all threads and processes, which other work on the machine
changes little, from arrays of pixels to what is found; imports are left out. ``semhash`` has no
hashes: it is given the thumbnails that rayred compares, with the seconds that they take.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.leaks import ALTERATIONS, plant, recall_rows
from benchmarks.record import print_table, write_results
from rayred.checking.detectors import Limits, find
from rayred.checking.partners import Relation
from rayred.checking.pictures import Pictures
from rayred.config import Data
from rayred.data import Split, load_dataset
from rayred.data.thumbnails import thumbnails

Found = dict[str, NDArray[np.bool_]]
"""For each way of looking, (n,) whether a test image has a copy in the training split."""


def _leaking(groups: Iterable[Sequence[int]], n_train: int, n_test: int) -> NDArray[np.bool_]:
    """Return which test images share a group with a training image; the test images come last."""
    has = np.zeros(n_test, bool)
    for group in groups:
        rows = np.asarray(group, dtype=np.int64)
        if (rows < n_train).any():
            has[rows[rows >= n_train] - n_train] = True
    return has


def rayred(train: Split, test: Split) -> Found:
    """Look for leaks as ``rayred check`` does."""
    pictures = Pictures.of({"train": train, "test": test}, {})
    partners = find(pictures, Limits()).partners
    leaks = {
        way: partners[way].partner[Relation.OTHER_SPLIT][len(train) :] >= 0
        for way in ("hash", "near")
    }
    return {
        "hash or near": leaks["hash"] | leaks["near"],
        "hash and near": leaks["hash"] & leaks["near"],
    }


def imagededup(train: Split, test: Split) -> Found:
    """Look by pHash within 10 bits, its default, and within rayred's 4."""
    from imagededup.methods import PHash

    method = PHash(verbose=False)
    images = np.concatenate([_images(train), _images(test)])
    codes = {str(row): method.encode_image(image_array=image) for row, image in enumerate(images)}
    found = {}
    for bits in (10, Limits().hash_bits):
        pairs = method.find_duplicates(encoding_map=codes, max_distance_threshold=bits)
        groups = ([int(row), *map(int, others)] for row, others in pairs.items())
        found[f"pHash, {bits} bits"] = _has_partner(groups, len(train), len(test))
    return found


def _has_partner(partners: Iterable[Sequence[int]], n_train: int, n_test: int) -> NDArray[np.bool_]:
    """Return which test images have a training image among their partners."""
    has = np.zeros(n_test, bool)
    for row, *others in partners:
        if row >= n_train:
            has[row - n_train] = any(other < n_train for other in others)
    return has


def cleanvision(train: Split, test: Split) -> Found:
    """Look by equal pixels and by equal pHash."""
    from cleanvision import Imagelab

    images = np.concatenate([_images(train), _images(test)])
    lab = Imagelab(
        torchvision_dataset=[(Image.fromarray(image),) for image in images], verbose=False
    )
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=1, verbose=False)
    sets = [group for kind in ("exact", "near") for group in lab.info[f"{kind}_duplicates"]["sets"]]
    return {"exact or near": _leaking(sets, len(train), len(test))}


def dataeval(train: Split, test: Split) -> Found:
    """Look by equal pixels, pHash and dHash, and by those of all orientations."""
    from dataeval.flags import ImageStats
    from dataeval.quality import Duplicates

    images = np.concatenate([_images(train), _images(test)]).transpose(0, 3, 1, 2)
    found = {}
    for title in ("BASIC", "D4"):
        flags = getattr(ImageStats, f"HASH_DUPLICATES_{title}")
        result = Duplicates(flags=flags).evaluate(images)
        groups = [*result.exact, *(rows for rows, _ in result.near)]
        found[f"HASH_DUPLICATES_{title}"] = _leaking(groups, len(train), len(test))
    return found


def semhash(train: Split, test: Split) -> Found:
    """Look for thumbnails within a cosine of 0.9, its default, and within rayred's distance."""
    from semhash import SemHash

    x = {"train": thumbnails(train), "test": thumbnails(test)}

    class Thumbnails:
        """Takes ``SPLIT ROW`` for an image, and returns its thumbnail."""

        def encode(self, names: Sequence[str], **_: Any) -> NDArray[Any]:
            return np.stack([x[name.split()[0]][int(name.split()[1])] for name in names])

    records = {name: [f"{name} {row}" for row in range(len(rows))] for name, rows in x.items()}
    index = SemHash.from_embeddings(x["train"], records["train"], model=Thumbnails())
    found = {}
    for threshold in (0.9, 1 - Limits().max_distance):
        kept = set(index.deduplicate(records["test"], threshold=threshold).selected)
        has = np.array([record not in kept for record in records["test"]])
        found[f"cosine {threshold:g}"] = has
    return found


LIBRARIES: dict[str, Callable[[Split, Split], Found]] = {
    "rayred": rayred,
    "imagededup": imagededup,
    "cleanvision": cleanvision,
    "dataeval": dataeval,
    "semhash": semhash,
}


def _images(split: Split) -> NDArray[np.uint8]:
    return np.array(split.images[np.arange(len(split))])


def _seconds() -> float:
    """Return the seconds of the processor of this process and of the children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _first(split: Split, n: int) -> Split:
    """Return the first images of a split, which know nothing of their files."""
    some = np.arange(min(n, len(split)))
    names = list(split.names[: len(some)])
    return Split(np.array(split.images[some]), split.labels[some], names, split.classes)


def measure_here(name: str, path: Path) -> None:
    """Look in this process and print JSON."""
    with np.load(path) as file:
        train, test = (
            Split(
                file[f"{split}_images"],
                file[f"{split}_labels"],
                [str(row) for row in range(len(file[f"{split}_labels"]))],
                tuple(map(str, range(int(file[f"{split}_labels"].max()) + 1))),
            )
            for split in ("train", "test")
        )
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        LIBRARIES[name](_first(train, 50), _first(test, 50))  # imports and warm-up
        started = _seconds()
        found = LIBRARIES[name](train, test)
        seconds = _seconds() - started
    rows = {way: np.flatnonzero(has).tolist() for way, has in found.items()}
    print(json.dumps({"seconds": seconds, "version": version(name), "found": rows}))


def measure(
    name: str, path: Path, folder: Path, alteration: NDArray[np.int64], n_test: int
) -> dict[str, Any] | None:
    """Look in a process of its own, and return recall, what else was found, and seconds.

    `None` if the library ends with an error, which it prints.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-m", "benchmarks.leaks_rivals", "--one", name, "--file", str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        print(f"{name}: not measured, it ended with exit code {done.returncode}")
        return None
    answer = json.loads(done.stdout.splitlines()[-1])
    found = {way: np.isin(np.arange(n_test), rows) for way, rows in answer["found"].items()}
    return {
        "version": answer["version"],
        "seconds": round(answer["seconds"], 1),
        "recall": recall_rows(found, alteration),
    }


def main() -> None:
    """Plant, let each library look, print a table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dataset", nargs="?", help="cifar10, or parquet:GLOB with --test")
    parser.add_argument("--test", help="data.test")
    parser.add_argument("--rivals", type=Path, default=Path("rivals"), help="folder of NAME/")
    parser.add_argument("--images", type=int, default=2_000, help="of each split")
    parser.add_argument("--share", type=float, default=0.5, help="of the test images replaced")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure_here(given.one, given.file)
        return
    dataset = load_dataset(given.dataset, Data(test=given.test, load="memory"))
    train, test = (_first(split, given.images) for split in (dataset.train, dataset.test))
    test, alteration, _ = plant(train, test, given.share)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "planted.npz"
        np.savez(
            path,
            train_images=_images(train),
            train_labels=train.labels,
            test_images=_images(test),
            test_labels=test.labels,
        )
        for name in LIBRARIES:
            folder = given.rivals / name
            if name != "rayred" and not folder.exists():
                print(f"{name}: not installed")
                continue
            measured = measure(name, path, folder, alteration, len(test))
            if measured is not None:
                figures[name] = measured
                print(f"{name} {measured['version']}: {measured['seconds']} s", flush=True)
    columns = [
        (name, way) for name, one in figures.items() for way in one["recall"]["others found"]
    ]
    rows = [
        [row, *(str(figures[name]["recall"][row][way]) for name, way in columns)]
        for row in (*ALTERATIONS, "others found")
    ]
    print_table(["alteration", *(f"{name}: {way}" for name, way in columns)], rows)
    sizes = {"train": len(train), "test": len(test), "planted": len(alteration)}
    print(write_results("leaks_rivals", {"images": sizes, "libraries": figures}))


if __name__ == "__main__":
    main()

"""All selectors on embeddings of CIFAR-10's shape, against plain forms of what they do.

The embeddings are those of the linkage benchmark: `clustered`, 50 rows a cluster, of very different
widths. Scores are random. Every measurement runs in a process of its own, with one thread and
without Ray, and reports the seconds of the processor, which other work on the machine changes
little, and the peak memory above that of its input. Work of less than a second is repeated, and its
best time counts, the rivals' as well as ours. ``semantic`` has its clustering in it, which a study
makes once for all fractions. With more sizes of ``--classes``, what takes as long at all of them
grows with the number of images, and what takes longer in fewer classes with their size.

Rivals are greedy loops in NumPy as the papers write them, the parts of scikit-learn that a selector
calls (k-means, nearest neighbours) alone, and `submodlib`, if the folder of rivals has it:

    uv pip install --target RIVALS/submodlib --no-deps submodlib-py numba llvmlite
    .venv/bin/python -m benchmarks.selectors --rivals RIVALS
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from benchmarks.linkage import make_rows
from benchmarks.record import print_table, write_results
from rayred.clustering.groups import redundant_groups
from rayred.selection import SELECTORS, Candidates
from rayred.selection.clusters import ITERATIONS
from rayred.selection.d2 import NEIGHBOURS
from rayred.selection.prototypes import PROTOTYPES
from rayred.selection.semdedup import CLUSTER_SIZE

REPEATED_SECONDS = 1.0
"""Work that takes less is repeated."""
Rows = NDArray[np.float32]


def select(name: str, candidates: Candidates, keep: float) -> None:
    """Choose by a selector of rayred."""
    if name == "semantic":
        groups = redundant_groups(candidates.embeddings, candidates.labels, [keep])
        candidates = Candidates(candidates.labels, candidates.embeddings, groups)
    SELECTORS[name].select(candidates, keep, np.random.default_rng(0))


def k_center(x: Rows, count: int) -> None:
    """Choose the row farthest from all before it, in NumPy."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    distance = np.linalg.norm(x - x.mean(axis=0), axis=1)
    chosen = [int(distance.argmin())]
    distance[:] = np.inf
    for _ in range(count - 1):
        distance = np.minimum(distance, np.linalg.norm(x - x[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))


def herding(x: Rows, count: int) -> None:
    """Choose the row that brings the mean of the chosen closest to that of all, in NumPy."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    mean, total = x.mean(axis=0), np.zeros(x.shape[1], np.float32)
    left = np.ones(len(x), bool)
    for place in range(count):
        distance = np.linalg.norm(mean - (total + x) / (place + 1), axis=1)
        best = int(np.where(left, distance, np.inf).argmin())
        total += x[best]
        left[best] = False


def k_means(x: Rows, clusters: int) -> None:
    """Find the clusters that a selector begins with, by scikit-learn, and choose nothing."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    KMeans(clusters, n_init=1, max_iter=ITERATIONS, random_state=0).fit(unit)


def clusters_of_semdedup(x: Rows, count: int) -> None:
    """Find the clusters of `semdedup`."""
    del count
    k_means(x, -(-len(x) // CLUSTER_SIZE))


def prototypes(x: Rows, count: int) -> None:
    """Find the clusters of which the prototypes are the centres."""
    del count
    k_means(x, PROTOTYPES)


def neighbours(x: Rows, count: int) -> None:
    """Find the nearest neighbours that `d2` begins with, by scikit-learn, and choose nothing."""
    del count
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(unit).kneighbors()


def submodlib(x: Rows, count: int) -> None:
    """Choose by facility location of `submodlib`, lazily, of all similarities."""
    from submodlib import FacilityLocationFunction

    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    function = FacilityLocationFunction(
        n=len(x), mode="dense", sijs=1 + unit @ unit.T, separate_rep=False
    )
    function.maximize(
        budget=count,
        optimizer="LazyGreedy",
        stopIfZeroGain=False,
        stopIfNegativeGain=False,
        show_progress=False,
    )


RIVALS: dict[str, tuple[str, Callable[[Rows, int], None]]] = {
    "k_center": ("NumPy", k_center),
    "herding": ("NumPy", herding),
    "semdedup": ("its k-means", clusters_of_semdedup),
    "prototypes_easy": ("its k-means", prototypes),
    "prototypes_hard": ("its k-means", prototypes),
    "d2": ("its nearest neighbours", neighbours),
    "facility_location": ("submodlib", submodlib),
}
"""What a selector is compared with: a title, and a function of the rows of a class and how many to
choose."""


def choose(rival: Callable[[Rows, int], None], candidates: Candidates, keep: float) -> None:
    """Choose of every class by a rival."""
    for rows, count in zip(candidates.members, candidates.counts(keep), strict=True):
        rival(candidates.embeddings[rows], count)


def write_candidates(path: Path, n: int, classes: int, d: int) -> None:
    """Write clustered embeddings, labels and scores."""
    rng = np.random.default_rng(1)
    np.savez(
        path,
        x=make_rows("clustered", n, d),
        labels=np.arange(n) % classes,
        el2n=rng.uniform(0, 1.4, n),
        forgetting=rng.poisson(1, n).astype(float),
    )


def peak_bytes() -> int:
    """Return the most memory that this process has held since `forget_peak`."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak() -> None:
    """Make what this process holds now its peak."""
    Path("/proc/self/clear_refs").write_text("5")


def measure_here(
    work: Callable[[Candidates, float], None], path: Path, keep: float, found: Queue[Any]
) -> None:
    """Measure in this process, and hand on seconds and the peak in megabytes."""
    with np.load(path) as file:
        x, labels, scores = file["x"], file["labels"], {n: file[n] for n in ("el2n", "forgetting")}
    some = np.arange(20 * (labels.max() + 1))
    few = {name: values[some] for name, values in scores.items()}
    work(Candidates(labels[some], x[some], scores=few), keep)  # imports and warm-up
    forget_peak()
    before = peak_bytes()
    rounds: list[float] = []
    while not rounds or (sum(rounds) < REPEATED_SECONDS and len(rounds) < 5):
        candidates = Candidates(labels, x, scores=scores)
        started = time.process_time()
        work(candidates, keep)
        rounds.append(time.process_time() - started)
    found.put((min(rounds), (peak_bytes() - before) / 2**20))


def measure(
    title: str, name: str, work: Callable[[Candidates, float], None], path: Path, keep: float
) -> dict[str, Any]:
    """Measure one work in a process of its own."""
    fork = multiprocessing.get_context("fork")
    found: Queue[Any] = fork.Queue()
    process = fork.Process(target=measure_here, args=(work, path, keep, found))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{title}, {name}: ended with exit code {process.exitcode}")
    seconds, peak = found.get()
    print(f"{name:18} {title:24} {seconds:8.3f} s {peak:6.0f} MB", flush=True)
    return {"selector": name, "work": title, "seconds": round(seconds, 3), "peak_mb": round(peak)}


def measure_all(n: int, classes: int, d: int, keep: float) -> list[dict[str, Any]]:
    """Measure all selectors, each followed by its rival."""
    rows, installed = [], find_spec("submodlib") is not None
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "candidates.npz"
        write_candidates(path, n, classes, d)
        for name in SELECTORS:
            rows.append(measure("rayred", name, partial(select, name), path, keep))
            title, rival = RIVALS.get(name, ("none", None))
            if rival is None or (title == "submodlib" and not installed):
                print(f"{name:18} {title:24} not measured")
            else:
                rows.append(measure(title, name, partial(choose, rival), path, keep))
    size = {"images": n, "classes": classes, "columns": d, "keep": keep}
    return [size | row for row in rows]


def main() -> None:
    """Measure all, print a table and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[10])
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--keep", type=float, default=0.5)
    parser.add_argument("--rivals", type=Path, help="folder with submodlib/")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.rivals is not None:
        sys.path.append(str(given.rivals / "submodlib"))
    with threadpool_limits(1):
        rows = [
            row
            for classes in given.classes
            for row in measure_all(given.images, classes, given.columns, given.keep)
        ]
    print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
    print(f"written to {write_results('selectors', {'rows': rows})}")


if __name__ == "__main__":
    main()

"""Exact complete linkage: rayred's engine against scikit-learn, fastcluster and the bare product.

Each measurement runs in a process of its own, rivals in the same call, and reports wall time and
the peak memory above that of its input; short work is repeated, and its best time counts. Data of
three kinds, d = 64: `uniform` directions, `clustered` (50 rows a cluster, of very different widths)
and `collapsed` (one direction with a little noise, as in a class of a network trained to the end);
and `ten classes`, ten directions with noise, as all classes together are.

    .venv/bin/python -m benchmarks.linkage            # all but the two largest: some minutes
    .venv/bin/python -m benchmarks.linkage --large    # a million rows, and ImageNet's shape
    .venv/bin/python -m benchmarks.linkage --worst    # rows of which most distances are equal
    .venv/bin/python -m benchmarks.linkage --products # in float32 and bfloat16, by columns
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import RESULTS, print_table, write_results

if TYPE_CHECKING:
    from rayred.linkage.settings import Precision

KINDS = ("uniform", "clustered", "collapsed")
DIMENSIONS = 64
SIZES = (1_000, 3_000, 10_000, 20_000, 50_000, 100_000)
RIVAL_LIMIT = 20_000
REPEATED_SECONDS = 3.0
"""Work that takes less is repeated, and its best time counts, the rivals' as well as ours."""
WORST = ("one-hot", "tags", "codes", "k of n", "hypercube", "growing gaps")
WORST_SIZES = (1_000, 5_000)
WORST_BEYOND_MEMORY = 20_000
"""Rows of which all pairs do not fit into the memory that the engine takes for them."""
PRODUCTS = {64: (20_000, 100_000), 128: (20_000, 100_000), 512: (20_000, 50_000), 2048: (20_000,)}
"""Rows by dimensions for products of both precisions."""
IMAGENET = (1_281_167, 2048, 1_000)
Rows = NDArray[Any]


def make_rows(kind: str, n: int, d: int = DIMENSIONS) -> NDArray[np.float32]:
    """Return (n, d) rows of one kind of data."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((n, d), dtype=np.float32)
    if kind in WORST:
        return _worst_rows(kind, n).astype(np.float32)
    if kind == "uniform":
        return noise
    if kind == "ten classes":
        return rng.standard_normal((10, d), np.float32)[rng.integers(0, 10, n)] + 0.1 * noise
    if kind == "clustered":
        centres = rng.standard_normal((max(1, n // 50), d), dtype=np.float32)
        width = rng.exponential(0.3, (n, 1)).astype(np.float32)
        return centres[rng.integers(0, len(centres), n)] + width * noise
    direction = 5 * rng.standard_normal(d, dtype=np.float32)
    return direction + np.float32(0.02) * noise


def _worst_rows(kind: str, n: int) -> Rows:
    """Return n rows of which most distances are equal, or of which pairs merge in turn."""
    rng = np.random.default_rng(0)
    if kind == "one-hot":
        return np.eye(n)
    if kind == "tags":  # 3 numbers of 2,000 that are not 0
        x = np.zeros((n, 2_000))
        for row in x:
            row[rng.choice(len(row), 3, replace=False)] = rng.random(3)
        return x
    if kind == "codes":
        return rng.choice([-1.0, 1.0], (n, DIMENSIONS))
    if kind == "k of n":  # 4 of 64
        return np.array(rng.permuted(np.arange(DIMENSIONS) * np.ones((n, 1)), axis=1) < 4, float)
    if kind == "hypercube":
        return np.array(np.arange(n)[:, None] >> np.arange(15) & 1, float) * 2 - 1
    angle = np.cumsum(1 + np.arange(n) / n)
    angle *= np.pi / angle[-1]
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def engine(x: Rows, keeps: list[float], precision: Precision = "auto") -> None:
    """Cluster with rayred, one tree for all fractions."""
    from rayred.linkage import EngineSettings, complete_linkage

    counts = [round(keep * len(x)) for keep in keeps]
    tree = complete_linkage(x, min(counts), settings=EngineSettings(precision=precision))
    for count in counts:
        tree.labels(count)


def scikit_learn(x: Rows, keeps: list[float]) -> None:
    """Cluster with scikit-learn, once a fraction."""
    from sklearn.cluster import AgglomerativeClustering

    for keep in keeps:
        model = AgglomerativeClustering(round(keep * len(x)), metric="cosine", linkage="complete")
        model.fit(x)


def scipy(x: Rows, keeps: list[float]) -> None:
    """Cluster with SciPy, its distances included, one tree for all fractions."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    tree = linkage(pdist(x.astype(np.float64), "cosine"), "complete")
    for keep in keeps:
        fcluster(tree, round(keep * len(x)), "maxclust")


def fastcluster(x: Rows, keeps: list[float]) -> None:
    """Cluster with fastcluster, its distances included, one tree for all fractions."""
    import fastcluster as rival
    from scipy.cluster.hierarchy import fcluster

    tree = rival.linkage(x.astype(np.float64), method="complete", metric="cosine")
    for keep in keeps:
        fcluster(tree, round(keep * len(x)), "maxclust")


def product(x: Rows, keeps: list[float]) -> None:
    """Multiply all rows with all rows after them, in blocks, and look at nothing."""
    import torch

    del keeps
    rows = torch.from_numpy(x)
    buffer = torch.empty(1024, 4096)
    for i in range(0, len(rows), 1024):
        left = rows[i : i + 1024]
        for j in range(i, len(rows), 4096):
            right = rows[j : j + 4096].T
            torch.mm(left, right, out=buffer[: len(left), : right.shape[1]])


def classes(x: Rows, keeps: list[float], cluster: Callable[[Rows, list[float]], None]) -> None:
    """Cluster ten classes of equal size, each on its own."""
    for rows in np.array_split(np.arange(len(x)), 10):
        cluster(x[rows], keeps)


def imagenet(x: Rows, keeps: list[float]) -> None:
    """Cluster 1,000 classes of a memory map and find the representatives."""
    from rayred.linkage import linkage_trees, representatives

    groups = np.array_split(np.arange(len(x)), IMAGENET[2])
    counts = [round(keeps[0] * len(rows)) for rows in groups]
    trees = linkage_trees(x, groups, counts)
    for rows, count, tree in zip(groups, counts, trees, strict=True):
        representatives(x[rows], tree.labels(count))


WORK: dict[str, Callable[[Rows, list[float]], None]] = {
    "rayred": engine,
    "rayred, float32": partial(engine, precision="float32"),
    "scikit-learn": scikit_learn,
    "scipy": scipy,
    "fastcluster": fastcluster,
    "product": product,
    "rayred, 10 classes": lambda x, keeps: classes(x, keeps, engine),
    "scikit-learn, 10 classes": lambda x, keeps: classes(x, keeps, scikit_learn),
    "rayred, imagenet": imagenet,
}


def peak_bytes() -> int:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_here(
    name: str, kind: str, shape: tuple[int, int], keeps: list[float], file: str | None
) -> None:
    """Measure in this process and print JSON."""
    x: Rows = np.load(file, mmap_mode="r") if file else make_rows(kind, *shape)
    WORK[name](x[:200], keeps) if file is None else None  # imports and warm-up
    before = peak_bytes()
    rounds: list[float] = []
    while not rounds or (sum(rounds) < REPEATED_SECONDS and len(rounds) < 5):
        started = time.perf_counter()
        WORK[name](x, keeps)
        rounds.append(time.perf_counter() - started)
    figures = {"seconds": min(rounds), "slowest": max(rounds)}
    print(json.dumps(figures | {"peak_mb": (peak_bytes() - before) / 2**20}))


def measure(
    name: str,
    kind: str,
    n: int,
    keeps: list[float],
    file: str | None = None,
    d: int = DIMENSIONS,
) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.linkage", "--one", name, "--kind", kind]
    command += ["--rows", str(n), "--columns", str(d), "--keep", *map(str, keeps)]
    command += ["--file", file] if file else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    row: dict[str, Any] = {"work": name, "kind": kind, "n": n, "d": d, "keep": keeps}
    row |= {one: round(figures[one], 3) for one in ("seconds", "slowest")}
    row["peak_mb"] = round(figures["peak_mb"])
    print(
        f"{name:26} {kind:10} n = {n:9,} d = {d:4} keep {keeps}: {row['seconds']} to"
        f" {row['slowest']} s, {row['peak_mb']} MB"
    )
    return row


def imagenet_file(folder: str) -> str:
    """Write clustered float16 rows of ImageNet's shape to a file, class after class."""
    n, d, _ = IMAGENET
    path = f"{folder}/imagenet.npy"
    rows = np.lib.format.open_memmap(path, "w+", np.float16, (n, d))
    rng = np.random.default_rng(0)
    for first in range(0, n, 20_000):
        end = min(first + 20_000, n)
        centres = np.abs(rng.standard_normal((400, d), dtype=np.float32))
        noise = rng.standard_normal((end - first, d), dtype=np.float32)
        rows[first:end] = np.abs(centres[rng.integers(0, 400, end - first)] + 0.4 * noise)
    rows.flush()
    return path


def plot(path: Path) -> None:
    """Draw time against n on uniform data, for every rival as far as it goes, from the results."""
    from matplotlib.figure import Figure

    files = [RESULTS / f"{name}.json" for name in ("linkage", "linkage_large")]
    rows = [row for file in files if file.exists() for row in json.loads(file.read_text())["rows"]]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for name in ("scikit-learn", "fastcluster", "rayred", "product"):
        uniform = (r for r in rows if r["kind"] == "uniform" and r["keep"] == [0.9])
        seconds = {r["n"]: r["seconds"] for r in uniform if r["work"] == name}
        label = "bare half product" if name == "product" else name
        style = {"rayred": "o-", "product": "k:"}.get(name, "s--")
        axes.plot(sorted(seconds), [seconds[n] for n in sorted(seconds)], style, label=label)
    axes.set(xscale="log", yscale="log", xlabel="rows n (d = 64)", ylabel="seconds")
    axes.set_title("Complete linkage, cosine, keep 0.9, uniform data, two cores", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=160)


def main() -> None:
    """Measure all, print a table, write JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--large", action="store_true", help="only a million rows, and ImageNet's")
    parser.add_argument("--worst", action="store_true", help="only rows with many equal distances")
    parser.add_argument("--products", action="store_true", help="only both precisions, by columns")
    for option in ("--one", "--kind", "--file"):
        parser.add_argument(option, help=argparse.SUPPRESS)
    for option in ("--rows", "--columns"):
        parser.add_argument(option, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=float, nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measure_here(given.one, given.kind, (given.rows, given.columns), given.keep, given.file)
        return
    if given.worst:
        name, rows = "linkage_worst", measure_worst()
    elif given.products:
        name, rows = "linkage_products", measure_products()
    elif given.large:
        name, rows = "linkage_large", measure_large()
    else:
        name, rows = "linkage", measure_all()
    print_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows])
    print(f"written to {write_results(name, {'rows': rows})}")
    plot(RESULTS.parent / "images" / "linkage-time.png")


def measure_all() -> list[dict[str, Any]]:
    """Measure every work of up to 100,000 rows."""
    rows = [
        measure(name, "uniform", n, [0.9])
        for n in SIZES
        for name in ("rayred", "product", "scikit-learn", "fastcluster")
        if n <= RIVAL_LIMIT or name in ("rayred", "product")
    ]
    rows += [measure("rayred", kind, 20_000, [k]) for kind in KINDS for k in (0.9, 0.5)]
    for name in ("scikit-learn", "fastcluster"):
        rows += [measure(name, kind, 20_000, [0.5]) for kind in KINDS]
    for kind in KINDS:
        for name in ("rayred, 10 classes", "scikit-learn, 10 classes"):
            rows.append(measure(name, kind, 50_000, [0.9, 0.7, 0.5]))
    return rows + [measure("rayred", kind, 100_000, [0.9]) for kind in (*KINDS[1:], "ten classes")]


def measure_worst() -> list[dict[str, Any]]:
    """Measure rows that are hard to cluster from near pairs, keeping half, or a tenth of many."""
    rivals = ("rayred", "scipy", "fastcluster")
    rows = [measure(name, kind, n, [0.5]) for n in WORST_SIZES for kind in WORST for name in rivals]
    few_columns = WORST[2:]
    return rows + [
        measure(name, kind, WORST_BEYOND_MEMORY, [0.1]) for kind in few_columns for name in rivals
    ]


def measure_products() -> list[dict[str, Any]]:
    """Measure products of both precisions, and that of float32 alone."""
    return [
        measure(name, kind, n, [0.9], d=d)
        for d, sizes in PRODUCTS.items()
        for n in sizes
        for kind in ("uniform", "clustered")
        for name in ("product", "rayred, float32", "rayred")
        if not (name == "product" and kind == "clustered")
    ]


def measure_large() -> list[dict[str, Any]]:
    """Measure a million rows in one class, and ImageNet's shape."""
    rows = [measure("rayred", "uniform", 1_000_000, [0.9])]
    with tempfile.TemporaryDirectory() as folder:
        file = imagenet_file(folder)
        n, d, _ = IMAGENET
        rows.append(measure("rayred, imagenet", "clustered", n, [0.9], file, d))
    return rows


if __name__ == "__main__":
    main()

"""Measures the constants of `scale_model` on this machine's cores, and the law of the linkage.

Constants are CPU seconds of one core, the least of some repetitions: other work on the machine
hardly adds to them. What depends on the cores is in `scale_runs`.

Legend: N images, n rows of a class, D dimensions.
"""

from __future__ import annotations

import io
import json
import math
import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import nnls
from sklearn.datasets import load_sample_images
from torch import Tensor

from benchmarks.linkage import make_rows
from benchmarks.record import RESULTS, write_results
from benchmarks.scale_inputs import Constants
from benchmarks.scale_model import (
    NAME,
    Rates,
    class_seconds,
    pairs_of,
    product_flops,
    windows,
)
from benchmarks.tracking import write_runs
from rayred.clustering.checks import check_rows, with_directions
from rayred.clustering.scores import ScoredImages, Scores, save_scores
from rayred.clustering.trees import ClassTrees, load_trees, save_trees
from rayred.config import Data
from rayred.data import load_train_split
from rayred.data.dataset import Split
from rayred.data.images import EncodedImages, FileImages, StoredImages
from rayred.data.scan import scan_images
from rayred.linkage import EngineSettings, Tree, complete_linkage, linkage_trees, representatives
from rayred.linkage.merging import Edges, merge_rounds
from rayred.linkage.pairs import near_pairs, pair_distances

Figures = dict[str, float]
Checks = list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """What one part of the measurement has found."""

    constants: Figures
    checks: Checks
    runs: dict[str, Any] = field(default_factory=dict)
    """Runs that are kept for the next time: only less disturbed ones replace them."""


FITTED = (128, 512), (1_000, 2_000, 4_000, 8_000)
"""Dimensions and rows that the law of the linkage is fitted to."""
HELD_OUT = (256,), (1_000, 2_000, 4_000, 8_000, 16_000)
LARGEST = 16_000
KEEP = 0.9
FLOAT32 = EngineSettings(precision="float32")
"""Products as the formulas have them, on every machine."""
LAW = "Clustering one class by one process"
PHOTO = (500, 375)
FILES = 4
"""Parquet files of photographs."""


def measure_all(images: str, only: Sequence[str] | None = None) -> Path:
    """Measure all parts, or some of them again, and write the JSON."""
    from benchmarks.scale_bytes import measure_bytes
    from benchmarks.scale_runs import measure_classes, measure_embedding, measure_sweep

    path = RESULTS / f"{NAME}.json"
    found: dict[str, Any] = json.loads(path.read_text())["parts"] if path.exists() else {}

    def earlier(part: str) -> tuple[Figures, dict[str, Any]]:
        return _constants(found), found.get(part, {}).get("runs", {})

    parts: dict[str, Callable[[], Part]] = {
        "head": measure_head,
        "linkage": measure_linkage,
        "bytes": lambda: measure_bytes(images),
        "classes": lambda: measure_classes(images, *earlier("classes")),
        "embedding": lambda: measure_embedding(images, *earlier("embedding")),
        "sweep": lambda: measure_sweep(earlier("sweep")[1]),
    }
    for name in only or parts:
        started = time.perf_counter()
        part = parts[name]()
        seconds = round(time.perf_counter() - started)
        found[name] = {"seconds": seconds, **asdict(part)}
        print(f"{name}: {seconds} s")
        for check in part.checks:
            print(*check.values(), sep=" | ")
        _write(found)
    return path


def _write(parts: Mapping[str, Any]) -> Path:
    checks = [check for part in parts.values() for check in part["checks"]]
    return write_results(NAME, {"constants": _constants(parts), "checks": checks, "parts": parts})


def _constants(parts: Mapping[str, Any]) -> Figures:
    return {name: value for part in parts.values() for name, value in part["constants"].items()}


def check(
    place: tuple[str, str, str],
    predicted: float,
    measured: float,
    show: Callable[[float], str],
    others: float | None = None,
) -> dict[str, Any]:
    """Return what the formulas say and what came out.

    Parameters
    ----------
    place
        Table, row and column of it.
    predicted, measured
        Two numbers of it; the error is that of the prediction, in percent.
    show
        How the table has them.
    others
        Cores that other work on the machine took meanwhile, where the time was that of the clock.
    """
    table, row, column = place
    return {
        "table": table,
        "row": row,
        "column": column,
        "predicted": show(predicted),
        "measured": show(measured),
        "error": round(100 * (predicted / measured - 1), 1),
        "others": None if others is None else round(others, 2),
    }


def seconds_of(value: float) -> str:
    """Return a time for a table."""
    return f"{1000 * value:.3g} ms" if value < 0.1 else f"{value:.3g} s"


def cpu_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Return the least CPU seconds of this process that some work takes."""
    found = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def measure_linkage() -> Part:
    """Fit the law of clustering one class, and hold it against rows that it was not fitted to."""
    torch.set_num_threads(1)
    pair_number = _pair_number()
    wanted = [(n, d) for d in FITTED[0] for n in FITTED[1]]
    held = [(n, d) for d in HELD_OUT[0] for n in HELD_OUT[1]]
    held += [(LARGEST, d) for d in FITTED[0]]
    took = {(n, d): _cluster_seconds(n, d) for n, d in wanted + held}
    rates = Rates(0, 0, 0, 0, pair_number)
    # Relative errors: each row is divided by what was measured.
    terms = np.array([[1.0, n * d, pairs_of(n), product_flops(n, d)] for n, d in wanted])
    rest = np.array([took[one] - _class(*one, rates) for one in wanted])
    scale = np.array([took[one] for one in wanted])
    fitted, _ = nnls(terms / scale[:, None], rest / scale)
    class_, number, entry, flop = map(float, fitted)
    rates = Rates(class_, number, entry, flop, pair_number)
    checks = [
        check((LAW, f"D = {d}", f"n = {n:,}"), _class(n, d, rates), took[n, d], seconds_of)
        for n, d in held
    ]
    for d in (*FITTED[0], *HELD_OUT[0]):
        law = math.log2(_class(LARGEST, d, rates) / _class(LARGEST // 2, d, rates))
        real = math.log2(took[LARGEST, d] / took[LARGEST // 2, d])
        checks.append(
            check((LAW, f"D = {d}", "exponent of n at the end"), law, real, "{:.2f}".format)
        )
    return Part({**asdict(rates), "merge_row": _merge_row()}, checks)


def _class(n: int, d: int, rates: Rates) -> float:
    return class_seconds(n, d, KEEP, rates, Constants.unmeasured())


def _cluster_seconds(n: int, d: int) -> float:
    x = make_rows("clustered", n, d)
    repeats = 3 if n > 8_000 else 5
    return cpu_seconds(lambda: complete_linkage(x, round(KEEP * n), settings=FLOAT32), repeats)


def _pair_number() -> float:
    rng = np.random.default_rng(0)
    unit = torch.from_numpy(rng.standard_normal((20_000, 256)))
    i, j = torch.from_numpy(rng.integers(0, len(unit), (2, 200_000)))
    return cpu_seconds(lambda: pair_distances(unit, i, j)) / (len(i) * unit.shape[1])


def _merge_row(rows: int = 1_000_000) -> float:
    """Measure rounds over as many random edges as rows: few clusters of more than two come out."""
    ends = torch.from_numpy(np.random.default_rng(0).integers(0, rows, (2, rows)))
    low, high = ends.amin(0), ends.amax(0)
    apart = low < high
    edges = Edges(low[apart], high[apart], torch.arange(int(apart.sum())))
    group, needed = torch.zeros(rows, dtype=torch.int64), torch.tensor([rows // 10])
    took = cpu_seconds(lambda: merge_rounds(edges, group, needed), 3)
    return took / (rows * windows(len(edges)))


def measure_head() -> Part:
    """Measure what the head does for every image, byte and number."""
    torch.set_num_threads(1)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photo, tiny = _jpeg(PHOTO, 92), _jpeg((16, 16), 75)
        figures |= _reading(folder, photo, tiny)
        figures |= _lists(folder)
        figures |= _embeddings(folder)
        runs = write_runs(f"sqlite:///{folder}/mlflow.db", folder / "study", 60)
        figures["mlflow_run"] = min(runs)
        figures["head_memory"] = _head_memory(folder, tiny)
    figures["large_memory"] = _slope(_large_memory, (8_000, 24_000), 512)
    return Part(figures, [])


def _jpeg(size: tuple[int, int], quality: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(load_sample_images().images[0]).resize(size).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _reading(folder: Path, photo: bytes, tiny: bytes) -> Figures:
    """Measure a look at all images, the copy of a Parquet file, and decoding."""
    took = []
    for name, content, count in (("tiny", tiny, 2_000), ("photo", photo, 300)):
        paths = [folder / f"{name}-{row}.jpg" for row in range(count)]
        for path in paths:
            path.write_bytes(content)
        images = FileImages(tuple(map(str, paths)))
        look = partial(scan_images, images, (0, 0, 0), None)
        took.append(cpu_seconds(look) / count)
    a_byte = (took[1] - took[0]) / (len(photo) - len(tiny))
    split = _parquet(folder, photo, FILES * 250, 224, FILES)
    assert isinstance(split.images, EncodedImages)
    assert isinstance(split.images.images, StoredImages)
    source = split.images.images.source
    fresh = (replace(source, root=str(folder / f"copy-{n}")) for n in range(3))  # type: ignore[type-var]
    rows, pixels = np.arange(100), PHOTO[0] * PHOTO[1]
    decode = split.images
    return {
        "scan_image": took[0] - a_byte * len(tiny),
        "scan_byte": a_byte,
        "copy_byte": cpu_seconds(lambda: next(fresh).open(), 3) / (len(split) * len(photo)),
        "open_file": cpu_seconds(source.open) / FILES,
        "decode_pixel": cpu_seconds(lambda: decode.crop(rows, _whole)) / (len(rows) * pixels),
    }


def _whole(row: int, width: int, height: int) -> tuple[float, float, float, float]:
    """Return the box of a whole image: training cuts boxes out, and decodes all of it for one."""
    del row
    return 0, 0, width, height


def _parquet(
    folder: Path, content: bytes, count: int, side: int | None = None, files: int = 1
) -> Split:
    place = folder / f"{count}-of-{len(content)}"
    place.mkdir(exist_ok=True)
    for file, rows in enumerate(np.array_split(np.arange(count), files)):
        images = [{"bytes": content, "path": f"n01440764_{row:08}.JPEG"} for row in rows]
        table = pa.table({"image": images, "label": np.zeros(len(rows), np.int64)})
        pq.write_table(table, place / f"{file:04}.parquet")
    data = Data(load="stream", root=str(folder / "root"), image_size=side)
    return load_train_split(f"parquet:{place}/*.parquet", data)


def _lists(folder: Path) -> Figures:
    """Measure the list of a streamed data set, as every process that uses it gets it."""
    split = _parquet(folder, _jpeg((16, 16), 75), 100_000)
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(split, protocol=5, buffer_callback=buffers.append)
    sizes = [buffer.raw().nbytes for buffer in buffers]
    (folder / "list").write_bytes(content)
    took = cpu_seconds(lambda: pickle.loads(content, buffers=buffers))
    memory = _in_process(_unpickled_memory, folder / "list", sizes)
    return {
        "listed_bytes": (len(content) + sum(sizes)) / len(split),
        "listed_second": took / len(split),
        "listed_memory": memory / len(split),
    }


def _embeddings(folder: Path) -> Figures:
    """Measure what the head does with embeddings and trees, and what workers do to choose."""
    n, d = 40_000, 1_024
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (n, d))
    x[:] = np.random.default_rng(0).standard_normal((n, d), np.float32)
    labels = np.arange(n) % 10
    rows = np.flatnonzero(labels == 0)
    few = np.asarray(x[:8_000, :512])
    groups = np.arange(len(few)) % round(KEEP * len(few))
    return {
        "gather_byte": cpu_seconds(lambda: x[rows]) / (len(rows) * d * 4),
        "check_byte": cpu_seconds(lambda: check_rows(x, labels)) / x.nbytes,
        "centre_number": cpu_seconds(lambda: representatives(few, groups)) / few.size,
        "tree_image": cpu_seconds(partial(_keep_trees, folder), 3) / 200_000,
    }


def _keep_trees(folder: Path) -> None:
    """Save, load, cut and score trees of 10 classes of 20,000 images, 30 % of them merged."""
    n, merges = 20_000, 6_000
    tree = Tree(n, np.arange(2 * merges).reshape(-1, 2), np.linspace(0, 1, merges))
    rows = np.arange(10 * n)
    members = tuple(rows[label::10] for label in range(10))
    save_trees(folder / "trees.npz", ClassTrees(members, (tree,) * 10))
    trees = load_trees(folder / "trees.npz")
    for fraction in (0.95, 0.9, 0.85, 0.8, 0.75, 0.7):
        trees.groups(fraction)
    names = [f"n01440764_{row:08}.JPEG" for row in rows]
    scored = ScoredImages(Scores.of(trees), rows, names, ["n01440764"] * len(rows))
    save_scores(folder / "scores.parquet", scored)


def _in_process(work: Callable[..., float], *given: Any) -> float:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *given).result()


def _peak() -> int:
    """Return the most memory of this process; that of `getrusage` may be its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _unpickled_memory(path: Path, sizes: Sequence[int]) -> float:
    """Return the bytes of an unpickled value, without its arrays, which lie in the object store."""
    content, buffers = path.read_bytes(), [bytearray(size) for size in sizes]
    before = _peak()
    value = pickle.loads(content, buffers=buffers)
    after = _peak()
    assert len(value)
    return after - before


def _head_memory(folder: Path, content: bytes, counts: tuple[int, int] = (1_000, 100_000)) -> float:
    """Return the bytes an image that the head takes at most while it reads a data set."""
    for count in counts:
        _parquet(folder, content, count)
    small, large = (
        _in_process(_reading_memory, folder / f"{count}-of-{len(content)}") for count in counts
    )
    return (large - small) / (counts[1] - counts[0])


def _reading_memory(place: Path) -> float:
    with tempfile.TemporaryDirectory() as root:
        split = load_train_split(f"parquet:{place}/*", Data(load="stream", root=root))
        assert len(split)
        return _peak()


def _slope(work: Callable[[int, int], float], sizes: tuple[int, int], d: int) -> float:
    small, large = (_in_process(work, n, d) for n in sizes)
    return (large - small) / ((sizes[1] - sizes[0]) * d)


def _large_memory(n: int, d: int) -> float:
    """Return the bytes that the head takes for a class that is spread over workers."""
    torch.set_num_threads(1)
    x = make_rows("clustered", n, d)
    _cluster_spread(x[:1_000])
    before = _peak()
    _cluster_spread(x)
    return _peak() - before


def _cluster_spread(x: NDArray[np.float32]) -> None:
    """Cluster rows as the head does, with the near pairs found here instead of by workers."""

    def find(
        left: Tensor, right: Tensor, limit: float, block: tuple[int, int], *_: Any
    ) -> tuple[Tensor, Tensor]:
        i, j = zip(*near_pairs(left, right, limit, block), strict=True)
        return torch.cat(i), torch.cat(j)

    settings = EngineSettings(device="cpu", precision="float32", find=find, find_from=1)
    rows = with_directions(x[np.arange(len(x))])
    list(linkage_trees(rows, [np.arange(len(x))], [round(KEEP * len(x))], settings=settings))

"""Runs stages with 1, 2 and 4 processes of one thread, and holds `scale_model` against them.

What is fitted is fitted at one process; 2 and 4 are predicted. Other work on the machine takes
cores away: every run is repeated, that in which others took least counts, and what they took
stands beside it.

Legend: N images, D dimensions, W processes.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
import torch

from benchmarks.linkage import make_rows
from benchmarks.scale_inputs import Constants, Network, Workload
from benchmarks.scale_measure import Checks, Figures, Part, check, cpu_seconds, seconds_of
from benchmarks.scale_model import (
    Rates,
    Site,
    cluster,
    embed,
    makespan,
    spread_seconds,
)
from rayred.clustering.groups import SPREAD_ROWS, grow_trees
from rayred.clustering.on_ray import RayMap
from rayred.clustering.trees import ClassTrees
from rayred.config import Data, Linkage, Sweep, Train
from rayred.config.file import load_experiment
from rayred.data import load_dataset, load_train_split
from rayred.data.dataset import Dataset
from rayred.machines.connect import _RAY_SETTINGS, WORKER_SETTINGS, share
from rayred.machines.layout import Layout, Scaling
from rayred.machines.tune import Runner
from rayred.models import build_model
from rayred.sweep.on_ray import PackTraining, run_sweep
from rayred.sweep.plan import plan_trials
from rayred.training import Task, load_model
from rayred.training.embedding_parts import EmbeddingParts, save_embeddings
from rayred.training.on_ray import embed_with_ray

PROCESSES = (1, 2, 4)
RUNS = "Stages by processes of one thread, on two cores"
WORK = "1 process, CPU seconds"
BYTES = "Bytes"
IMAGES = 25_000
"""Images of the embedding pass: three parts, and a small one."""
TRIALS = 8
STEPS = 100
"""Steps of each of them."""
CORES = os.cpu_count() or 1
NO_NETWORK = Network("", 0, 0, 0.0)
KEEP = 0.9
ROUNDS = 3
WATCH_SECONDS = 0.3
SPREAD = (12_000, 256)
"""Rows and dimensions of the class that is spread over processes."""
Runs = Mapping[str, Mapping[str, Any]]
"""Runs by stage and number of processes, as they are kept."""
DIGITS = Path(__file__).parents[1] / "experiments" / "digits.yaml"


@dataclass(frozen=True)
class Run:
    """One run of a stage."""

    seconds: float
    """Of the clock."""
    work: float
    """CPU seconds of this process and of all that it has started."""
    others: float
    """Cores that other work on the machine took meanwhile."""

    @property
    def left(self) -> float:
        """Cores that there were for it."""
        return CORES - self.others


def best_run(work: Callable[[], object], rounds: int = ROUNDS) -> Run:
    """Return the least disturbed of some runs."""
    return min((_run(work) for _ in range(rounds)), key=lambda run: run.others)


def _run(work: Callable[[], object]) -> Run:
    before, machine, began = _spent(), _busy(), time.perf_counter()
    seen = dict(before)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_SECONDS):  # a process that ends is no longer there at the end
            seen.update(_spent())

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    took = time.perf_counter() - began
    ended.set()
    watcher.join()
    seen.update(_spent())
    ours = sum(spent - before.get(process, 0.0) for process, spent in seen.items())
    others = max(0.0, (_busy() - machine - ours) / took)
    return Run(round(took, 3), round(ours, 3), round(others, 3))


def _busy() -> float:
    """Return the CPU seconds that the machine has worked."""
    times = psutil.cpu_times()
    busy: float = sum(times) - times.idle - times.iowait
    return busy


def _spent() -> dict[int, float]:
    """Return the CPU seconds of this process and of all that it has started, by their numbers."""
    found = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
    return found


@contextmanager
def ray_of(processes: int) -> Iterator[None]:
    """Start a Ray here that runs so many processes at a time, whatever cores there are."""
    os.environ |= WORKER_SETTINGS | _RAY_SETTINGS  # as rayred's own Ray has them
    ray.init(
        "local", num_cpus=processes, include_dashboard=False, log_to_driver=False, logging_level=40
    )
    try:
        yield
    finally:
        ray.shutdown()


Found = dict[str, dict[int, Run]]
"""Runs by stage and number of processes."""


class Stages:
    """The stages that are run, all with processes of one thread."""

    def __init__(self, images: str) -> None:
        """Load the images, and make a network and rows of them."""
        split = load_train_split(images, Data(load="memory")).part(0, IMAGES)
        self.dataset = Dataset("images", split, split)
        recipe = Train.model_validate({"recipe": "fast", "steps": 10})
        self.task = Task.for_dataset("resnet8", self.dataset, recipe, 0)
        torch.manual_seed(0)
        self.weights = build_model(self.task.spec).state_dict()
        pixels = np.asarray(split.images)
        n, height, width, channels = pixels.shape
        halved = pixels.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))
        self.rows = halved.reshape(n, -1).astype(np.float32)
        """(N, D) pixels of the images at half their size."""
        self.labels = split.labels
        self.large = make_rows("clustered", *SPREAD)

    def embed(self, processes: int, ranges: Iterable[tuple[int, int]] | None) -> None:
        """Embed all images, or some, and write them as rayred does."""
        with tempfile.TemporaryDirectory() as folder:
            parts = EmbeddingParts(Path(folder), len(self.dataset.train))
            load, scaling = partial(load_model, self.task.spec), Scaling(workers=processes)
            given = list(ranges or parts.ranges())
            for part, found in embed_with_ray(
                load, self.weights, self.dataset.train, given, scaling
            ):
                parts.keep(part, found)
            if ranges is None:
                save_embeddings(Path(folder) / "embeddings.npy", parts)

    def cluster(self, map: Any, processes: int) -> ClassTrees:
        """Cluster the classes of the rows."""
        return grow_trees(
            self.rows,
            self.labels,
            KEEP,
            Linkage(precision="float32"),
            map=map,
            workers=processes,
            device="cpu",
        )

    def spread(self, map: Any, processes: int) -> None:
        """Cluster one class, by all processes if there are several."""
        one = np.zeros(len(self.large), np.int64)
        most = len(one) if processes > 1 else SPREAD_ROWS
        options = {"workers": processes, "device": "cpu", "spread_rows": most}
        grow_trees(self.large, one, KEEP, Linkage(precision="float32"), map=map, **options)  # type: ignore[arg-type]


def _sweep(processes: int, trials: int) -> None:
    """Run trials of the digits."""
    experiment = load_experiment(DIGITS)
    digits = load_dataset("digits")
    recipe = experiment.train.model_copy(update={"steps": STEPS})
    task = Task.for_dataset(experiment.model, digits, recipe, 0)
    plan = plan_trials(Sweep(fractions=[1.0], selectors=["random"], trials=trials), 0)
    one = Scaling()
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(one, one, one, one, processes, 1, 1, folder)
        subsets = {plan[0].subset: share(np.arange(len(digits.train)))}
        keys = {trial.name: trial.name for trial in plan}
        train = PackTraining(task, share(digits), subsets, keys, layout)
        list(run_sweep(plan, len(plan), train, Runner("sweep", layout)))


def by_processes(before: Runs, run: Callable[[int], dict[str, Run]]) -> Found:
    """Run something in a Ray of 1, 2 and 4 processes, and return the runs by name.

    Of each the one that was disturbed less is kept, of now and of another time.
    """
    found: Found = {}
    for processes in PROCESSES:
        with ray_of(processes):
            runs = run(processes)
        for name, now in runs.items():
            earlier = before.get(name, {}).get(str(processes))
            both = [now, Run(**earlier)] if earlier else [now]
            found.setdefault(name, {})[processes] = min(both, key=lambda run: run.others)
    return found


def _kept(found: Found) -> dict[str, Any]:
    return {name: {str(p): asdict(run) for p, run in runs.items()} for name, runs in found.items()}


def _held(what: str, runs: Mapping[int, Run], predict: Callable[[int, float], float]) -> Checks:
    """Return what the formulas say of runs with several processes, by the cores that were left."""
    return [
        check(
            (RUNS, what, f"{processes} processes"),
            predict(processes, run.left),
            run.seconds,
            seconds_of,
            run.others,
        )
        for processes, run in runs.items()
        if processes > 1
    ]


def measure_classes(images: str, known: Figures, before: Runs) -> Part:
    """Cluster ten classes and a large one; `known` are the constants of other parts."""
    torch.set_num_threads(1)
    stages = Stages(images)

    def run(processes: int) -> dict[str, Run]:
        with RayMap(Scaling(workers=processes)) as map:
            start = best_run(lambda: list(map(_nothing, range(4 * processes))), 1)
            return {
                "start": start,
                "classes": best_run(lambda: stages.cluster(map, processes)),
                "spread": best_run(lambda: stages.spread(map, processes)),
            }

    found = by_processes(before, run)
    with ray_of(1):
        block = np.zeros(2**27, np.uint8)
        held: list[Any] = []
        put = cpu_seconds(lambda: held.append(ray.put(block))) / block.nbytes  # into new memory
    actor = found["start"][1].work
    # Processes had started before; the rows of the large class take one stage.
    c = Constants.unmeasured(**(known | {"put_byte": put, "actor": 0.0}))
    rates, alone = Rates.of_cpu(c), replace(c, stages=1.0)
    sizes, d = np.bincount(stages.labels), stages.rows.shape[1]
    ten = Workload("", sizes, d, 0, 0, NO_NETWORK, (KEEP,))
    one = Workload("", np.array(SPREAD[:1]), SPREAD[1], 0, 0, NO_NETWORK, (KEEP,))
    law = {
        "classes": cluster(ten, _site(1, 1, rates), c).seconds,
        "spread": cluster(one, _site(1, 1, rates), alone).seconds,
    }
    # Fitted at one process: the law is scaled by what that run took.
    fitted = {name: _scaled(rates, found[name][1].work / law[name]) for name in law}

    def spread(processes: int, cores: float) -> float:
        checked = one.embedding_bytes * c.check_byte
        return checked + spread_seconds(
            *SPREAD, KEEP, _site(processes, cores, fitted["spread"]), alone
        )

    of_ten = f"linkage, {len(sizes)} classes, {sizes.sum():,} × {d}"
    of_one = f"linkage, one class, {SPREAD[0]:,} × {SPREAD[1]}"
    checks = [
        check((RUNS, of_ten, WORK), law["classes"], found["classes"][1].work, seconds_of),
        *_held(
            of_ten,
            found["classes"],
            lambda p, cores: cluster(ten, _site(p, cores, fitted["classes"]), c).seconds,
        ),
        check((RUNS, of_one, WORK), law["spread"], found["spread"][1].work, seconds_of),
        *_held(of_one, found["spread"], spread),
        *_held("start of actors", found["start"], lambda p, cores: actor * p / min(p, cores)),
    ]
    return Part({"put_byte": put, "actor": actor}, checks, _kept(found))


def measure_embedding(images: str, known: Figures, before: Runs) -> Part:
    """Embed all images by a small network."""
    torch.set_num_threads(1)
    stages = Stages(images)
    single = [(row, row + 1) for row in range(TRIALS)]

    def run(processes: int) -> dict[str, Run]:
        stages.embed(processes, [(0, 64)] * processes)  # processes start
        runs = {"embedding": best_run(lambda: stages.embed(processes, None))}
        if processes == 1:
            runs["tasks"] = best_run(lambda: stages.embed(1, single))
        return runs

    found = by_processes(before, run)
    count = len(stages.dataset.train)
    parts = len(EmbeddingParts(Path(), count).ranges())
    task = found["tasks"][1].work / TRIALS
    image = (found["embedding"][1].work - parts * task) / count
    c = Constants.unmeasured(**(known | {"task": task, "actor": 0.0}))
    work = Workload("", np.array([count]), 64, 0, 0, NO_NETWORK, (KEEP,))

    def predict(processes: int, cores: float) -> float:
        site = replace(_site(processes, cores, Rates.of_cpu(c)), embed_image=image)
        return embed(work, site, c).seconds

    checks = _held(f"embedding pass, {count:,} images", found["embedding"], predict)
    return Part({"task": task}, checks, _kept(found))


def measure_sweep(before: Runs) -> Part:
    """Run a short sweep of the digits, the start of its processes included."""

    def run(processes: int) -> dict[str, Run]:
        runs = {"sweep": best_run(lambda: _sweep(processes, TRIALS), 2)}
        if processes == 1:
            runs["half"] = best_run(lambda: _sweep(1, TRIALS // 2), 2)
        return runs

    found = by_processes(before, run)
    whole, half = found["sweep"][1].work, found["half"][1].work
    each = (whole - half) / (TRIALS - TRIALS // 2)
    start = max(0.0, whole - TRIALS * each)

    def predict(processes: int, cores: float) -> float:
        trials = [each + start * (number < processes) for number in range(TRIALS)]
        return makespan(trials, processes, cores)

    checks = _held(f"sweep, {TRIALS} trials, start included", found["sweep"], predict)
    return Part({}, checks, _kept(found))


def _site(processes: int, cores: float, rates: Rates) -> Site:
    return Site(processes, cores, 1, 1, 0.0, 0.0, rates)


def _scaled(rates: Rates, factor: float) -> Rates:
    return Rates(*(factor * value for value in astuple(rates)))


def _nothing(task: int) -> int:
    return task

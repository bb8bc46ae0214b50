"""Time, bytes, memory and money of a whole study, as formulas, on clusters that nobody has here.

One function a stage, from the data to the report. Nothing was measured on a GPU: every constant
says where it is from, and `measure` holds the formulas against real runs on this machine's cores.

    .venv/bin/python -m benchmarks.scale_model measure parquet:TRAIN_GLOB   # writes the JSON
    .venv/bin/python -m benchmarks.scale_model predict                      # prints all tables
    .venv/bin/python -m benchmarks.scale_model predict --price 3 --set train_images=1500

Legend: N images, n images of one class, D embedding dimensions, E near pairs, P weights of the
network, W workers of one training. Times are seconds, sizes bytes, rates a second.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import RESULTS
from benchmarks.scale_inputs import FLOAT32, Constants, Network, Workload
from rayred.clustering.exploring import MOST_ROWS
from rayred.clustering.groups import SPREAD_ROWS, TASK_BYTES
from rayred.clustering.maps import TASKS_A_WORKER
from rayred.linkage.merging import FIRST_WINDOW
from rayred.linkage.thresholds import PAIRS_A_STAGE, first_degree
from rayred.training.embedding_parts import PART_IMAGES

NAME = "scale_model"
GPUS = (1, 8, 64, 512)
CHECKPOINT_SECONDS = 300
"""Default of `train.checkpoint_minutes`."""
FLOAT64 = INT64 = 8
"""Bytes of a number."""


@dataclass(frozen=True)
class Rates:
    """Seconds of one process for the parts of clustering a class."""

    class_: float
    number: float
    entry: float
    flop: float
    pair_number: float

    @classmethod
    def of_cpu(cls, c: Constants) -> Rates:
        """Return those of one core, as measured."""
        return cls(c.class_, c.number, c.entry, c.flop, c.pair_number)

    @classmethod
    def of_gpu(cls, c: Constants) -> Rates:
        """Return those of a GPU, as its published figures would have them."""
        return cls(
            c.gpu_class,
            c.gpu_number_bytes / c.gpu_bandwidth + FLOAT32 / c.pcie,
            c.entry_bytes / c.gpu_bandwidth,
            1 / (c.float32_share * c.float32_flops),
            4 * FLOAT64 / c.gpu_bandwidth,
        )


@dataclass(frozen=True)
class Site:
    """What a study runs on."""

    processes: int
    """Processes at a time: one a GPU, or of one thread each."""
    cores: float
    """Processes that compute at a time without slowing each other down."""
    nodes: int
    workers: int
    """W."""
    embed_image: float
    """Seconds of a process to embed an image."""
    train_image: float
    """Seconds of a process to train on an image."""
    rates: Rates
    is_gpu: bool = False

    @classmethod
    def of_gpus(cls, gpus: int, work: Workload, c: Constants, workers: int | None = None) -> Site:
        """Return a cluster of full nodes, or a part of one; trainings take a node, or all of it."""
        a_node = int(c.gpus_a_node)
        decoding = c.decode_pixel * work.image_pixels / c.cores_a_gpu
        forward = work.network.forward_flops / (c.float32_share * c.float32_flops)
        return cls(
            processes=gpus,
            cores=gpus,
            nodes=max(1, gpus // a_node),
            workers=min(gpus, workers or a_node),
            embed_image=max(forward, decoding),
            train_image=max(1 / c.train_images, decoding),
            rates=Rates.of_gpu(c),
            is_gpu=True,
        )


@dataclass(frozen=True)
class Cost:
    """What a stage costs."""

    stage: str
    seconds: float
    busy: float = 0.0
    """Seconds of all GPUs together in which they work on it."""
    read: float = 0.0
    """Bytes from disk or bucket."""
    stored: float = 0.0
    """Bytes put into the object store."""
    sent: float = 0.0
    """Bytes between nodes."""
    written: float = 0.0
    """Bytes to the run folder and the storage of checkpoints."""


# Counts and sizes that hold on every machine.


def pairs_of(n: int) -> int:
    """Return the number of pairs of n rows."""
    return n * (n - 1) // 2


def product_flops(n: int, dimensions: int) -> float:
    """Return the operations of the products of all pairs, D + 2 columns a factor."""
    return pairs_of(n) * 2.0 * (dimensions + 2)


def embedding_bytes(images: int, dimensions: int) -> int:
    """Return the bytes of float32 embeddings."""
    return images * dimensions * FLOAT32


def factor_bytes(n: int, dimensions: int) -> int:
    """Return the bytes of the two factors of a spread class, which every node gets once."""
    return 2 * n * (dimensions + 2) * FLOAT32


def pair_bytes(pairs: int) -> int:
    """Return the bytes of near pairs that workers send back: two row numbers each."""
    return 2 * pairs * INT64


def tree_bytes(rows: int, merges: int) -> int:
    """Return the bytes of a tree: the image of each row; two children and a height a merge."""
    return rows * INT64 + merges * (2 * INT64 + FLOAT64)


def state_bytes(network: Network) -> int:
    """Return the bytes of a checkpoint: weights, momentum and statistics in float32."""
    return (2 * network.parameters + network.buffers) * FLOAT32


def near_pairs(n: int, keep: float, c: Constants) -> tuple[int, float]:
    """Return the near pairs that a class lists in all, and in how many stages.

    A stage lists as many as the engine looks for, up to `PAIRS_A_STAGE`; a class whose merges take
    more has more stages, each of which multiplies all pairs again.
    """
    listed = n * first_degree(n, n * (1 - keep)) / 2
    stages = max(1.0, c.stages, math.ceil(n * c.near_wanted / 2 / PAIRS_A_STAGE))
    return int(min(pairs_of(n), min(listed, PAIRS_A_STAGE) * stages)), stages


def makespan(seconds: Sequence[float], processes: int, cores: float, feed: float = 0.0) -> float:
    """Return when the last of some tasks ends that processes take from each other.

    Parameters
    ----------
    seconds
        Of each task, on a core of its own.
    processes
        How many run at a time; if there are more than cores, they share these evenly.
    cores
        Cores, or GPUs; a part of one is what other work leaves of it.
    feed
        Seconds of the one process that hands out a task, during which no other is handed out.
    """
    now = done = 0.0  # `done`: seconds that every running task has had by now
    running: list[float] = []

    def advance(left: float) -> None:
        nonlocal now, done
        while running and left > 0:
            rate = min(1.0, cores / len(running))
            step = (running[0] - done) / rate
            if step > left:
                done += left * rate
                now, left = now + left, 0.0
            else:
                done = heapq.heappop(running)
                now, left = now + step, left - step
        now += left

    def end_one() -> None:
        nonlocal now, done
        rate = min(1.0, cores / len(running))
        first = heapq.heappop(running)
        now, done = now + (first - done) / rate, first

    for task in seconds:
        if len(running) == processes:
            end_one()
        advance(feed)
        heapq.heappush(running, done + task)
    while running:
        end_one()
    return now


def class_seconds(n: int, dimensions: int, keep: float, rates: Rates, c: Constants) -> float:
    """Return how long one process clusters one class."""
    found, stages = near_pairs(n, keep, c)
    product = pairs_of(n) * rates.entry + product_flops(n, dimensions) * rates.flop
    measured = found * dimensions * rates.pair_number
    return rates.class_ + n * dimensions * rates.number + stages * product + measured


def windows(found: int) -> float:
    """Return in how many windows of doubling size edges are merged."""
    return 1 + math.log2(max(1.0, found / FIRST_WINDOW))


def head_seconds(n: int, dimensions: int, keep: float, c: Constants) -> float:
    """Return how long the head alone works on one large class: rows, near pairs and merges."""
    found, _ = near_pairs(n, keep, c)
    merging = windows(found) * n * c.merge_row
    return n * dimensions * c.number + found * dimensions * c.pair_number + merging


def spread_seconds(n: int, dimensions: int, keep: float, site: Site, c: Constants) -> float:
    """Return how long all processes cluster one large class, whose pairs the head merges."""
    _, stages = near_pairs(n, keep, c)
    factors = factor_bytes(n, dimensions)
    # A node that has them sends them on, so the number of nodes that have them doubles.
    sent = factors * (c.put_byte + math.ceil(math.log2(site.nodes)) * c.fetch_byte)
    copied = TASKS_A_WORKER * factors * (c.put_byte + (1 / c.pcie if site.is_gpu else 0))
    product = pairs_of(n) * site.rates.entry + product_flops(n, dimensions) * site.rates.flop
    at_once = min(site.processes, site.cores)
    copying = copied * site.processes / at_once
    in_stages = stages * (sent + copying + product / at_once)
    return head_seconds(n, dimensions, keep, c) + in_stages


# The stages, in the order of a study.


def read(work: Workload, site: Site, c: Constants) -> Cost:
    """The head looks at each image once; nodes copy the Parquet files that they need.

    That is all of them where trainings draw images from everywhere, else a share of them.
    """
    copy = work.encoded * max(c.copy_byte, 1 / c.bucket)
    needed = 1.0 if work.trainings() else 1 / site.nodes
    others = site.nodes - 1
    look = (work.images + work.test_images) * c.scan_image + work.encoded * c.scan_byte
    listed = work.images * c.listed_bytes
    return Cost(
        "read",
        copy * (1 + needed * min(1, others)) + look,  # the head first, then all others at once
        read=work.encoded * (1 + needed * others),
        stored=listed,
        sent=listed * (site.nodes - 1),
    )


def step_seconds(work: Workload, site: Site, c: Constants) -> float:
    """Return the seconds of one training step, its batch shared by W workers."""
    return max(work.batch / site.workers * site.train_image, c.step_floor)


def training_seconds(work: Workload, site: Site, c: Constants) -> float:
    """Return the seconds of one training: all steps, then the test images."""
    return work.steps * step_seconds(work, site, c) + (
        work.test_images * site.embed_image / site.workers
    )


def checkpoint_bytes(work: Workload, seconds: float) -> float:
    """Return the bytes of the checkpoints of one training."""
    return seconds // CHECKPOINT_SECONDS * state_bytes(work.network)


def gradient_bytes(work: Workload, site: Site) -> float:
    """Return the bytes that the workers of one training send each other: a ring, every step."""
    return work.steps * 2.0 * (site.workers - 1) * work.network.parameters * FLOAT32


def reference(work: Workload, site: Site, c: Constants) -> Cost:
    """W workers train the reference model; all other processes wait."""
    seconds = training_seconds(work, site, c)
    return Cost(
        "reference",
        seconds,
        busy=site.workers * seconds,
        sent=gradient_bytes(work, site),
        written=checkpoint_bytes(work, seconds),
    )


def _with_start(seconds: Sequence[float], processes: int, c: Constants) -> list[float]:
    """Return the seconds of tasks, those of the first of each process with its start."""
    return [one + (c.actor if place < processes else 0) for place, one in enumerate(seconds)]


def part_seconds(images: int, work: Workload, site: Site, c: Constants) -> float:
    """Return the seconds of one task of the embedding pass.

    It gets the list of its images, and opens the Parquet files that hold them.
    """
    files = 1 + images * work.image_bytes / work.file_bytes
    return c.task + files * c.open_file + images * (c.listed_second + site.embed_image)


def embed(work: Workload, site: Site, c: Constants) -> Cost:
    """All processes embed parts of some thousand images, which the head writes and joins."""
    parts = [PART_IMAGES] * (work.images // PART_IMAGES)
    parts += [rest] if (rest := work.images % PART_IMAGES) else []
    tasks = _with_start([part_seconds(part, work, site, c) for part in parts], site.processes, c)
    written = work.embedding_bytes
    return Cost(
        "embeddings",
        makespan(tasks, site.processes, site.cores) + 2 * written / c.disk,
        busy=work.images * site.embed_image,
        read=written,
        stored=written,
        sent=written * (1 - 1 / site.nodes),
        written=2 * written,
    )


def feed_seconds(rows_bytes: float, c: Constants) -> float:
    """Return how long the head picks the embeddings of some classes and hands them out."""
    return rows_bytes * (c.gather_byte + c.put_byte)


def dealt(sizes: NDArray[np.int64], work: Workload, site: Site) -> list[list[int]]:
    """Return the sizes of the classes of every task: dealt out one by one, as the code does."""
    enough = max(TASKS_A_WORKER * site.processes, work.embedding_bytes // TASK_BYTES)
    count = min(len(sizes), enough)
    return [sizes[first::count].tolist() for first in range(count)]


def is_spread(work: Workload, site: Site) -> NDArray[np.bool_]:
    """Return which classes are spread over all processes."""
    return (work.sizes >= SPREAD_ROWS) & (site.processes > 1)


def cluster(work: Workload, site: Site, c: Constants) -> Cost:
    """Processes cluster the classes that the head hands out; large ones all of them together."""
    keep, d = min(work.fractions), work.dimensions

    @cache
    def seconds(n: int) -> float:
        return class_seconds(n, d, keep, site.rates, c)

    spread = is_spread(work, site)
    tasks = dealt(work.sizes[~spread], work, site)
    handed = embedding_bytes(int(work.sizes[~spread].sum()), d)
    times = [sum(map(seconds, task)) for task in tasks]
    feed = feed_seconds(handed, c) / max(1, len(tasks))
    large: list[int] = work.sizes[spread].tolist()
    factors = sum(factor_bytes(n, d) * near_pairs(n, keep, c)[1] for n in large)
    found = sum(pair_bytes(near_pairs(n, keep, c)[0]) for n in large)
    return Cost(
        "linkage",
        work.embedding_bytes * c.check_byte
        + makespan(_with_start(times, site.processes, c), site.processes, site.cores, feed)
        + sum(spread_seconds(n, d, keep, site, c) for n in large),
        busy=sum(times) + sum(map(seconds, large)),
        read=2 * work.embedding_bytes,
        stored=handed + factors + found,
        sent=(handed + found) * (1 - 1 / site.nodes) + factors * (site.nodes - 1),
        written=tree_bytes(work.images, round((1 - keep) * work.images)),
    )


def choose(work: Workload, site: Site, c: Constants) -> Cost:
    """Processes find the image to keep of every group; the head checks, cuts and writes.

    A class is one task here, however large it is.
    """
    tasks = dealt(work.sizes, work, site)
    number = work.dimensions * work.smaller * c.centre_number
    feed = feed_seconds(work.embedding_bytes, c) / len(tasks)
    kept = sum(fraction * work.images for fraction in work.fractions if fraction < 1)
    return Cost(
        "subsets",
        work.embedding_bytes * c.check_byte
        + makespan([sum(task) * number for task in tasks], site.processes, site.cores, feed)
        + work.images * c.tree_image,
        read=2 * work.embedding_bytes,
        stored=work.embedding_bytes,
        sent=work.embedding_bytes * (1 - 1 / site.nodes),
        written=kept * INT64 * (1 + work.trials),  # random subsets are drawn for every trial
    )


def slots(site: Site) -> int:
    """Return how many trainings run at a time."""
    return max(1, site.processes // site.workers)


def sweep(work: Workload, site: Site, c: Constants) -> Cost:
    """Trials run as many at a time as fit, each on W workers; the last round may not be full."""
    each, count = training_seconds(work, site, c), work.trainings()
    at_once = slots(site)
    cores = site.cores / site.workers
    trials = _with_start([each] * count, at_once, c)
    return Cost(
        "sweep",
        max(makespan(trials, at_once, cores), count * c.mlflow_run),
        busy=count * each * site.workers,
        sent=count * gradient_bytes(work, site),
        written=count * checkpoint_bytes(work, each),
    )


def report(work: Workload, site: Site, c: Constants) -> Cost:
    """The head draws figures and packs the group browser, of a bounded number of rows."""
    del site
    return Cost("report", c.study + c.report * min(1.0, work.images / MOST_ROWS))


STAGES = (read, reference, embed, cluster, choose, sweep, report)


def study(work: Workload, site: Site, c: Constants) -> list[Cost]:
    """Return the cost of every stage."""
    return [stage(work, site, c) for stage in STAGES]


@dataclass(frozen=True)
class Limit:
    """Something that there is only so much of."""

    stages: str
    """Names of the stages that need it."""
    what: str
    needed: float
    available: float

    @property
    def share(self) -> float:
        """How often what is there is needed: above 1 it is not enough."""
        return self.needed / self.available


def limits(work: Workload, site: Site, c: Constants) -> list[Limit]:
    """Return what a study takes of everything that is limited on one node, process or GPU."""
    n, d = int(work.sizes.max()), work.dimensions
    spread = n >= SPREAD_ROWS and site.processes > 1
    factors = factor_bytes(n, d)
    on_gpu = factors if spread else 2 * n * d * FLOAT64 + factors
    batch = work.batch / site.workers * c.activation if work.steps else 0
    listed = work.images * c.listed_memory if work.trainings() else 0
    lists = min(site.processes, c.gpus_a_node) * (c.process_memory + listed)
    large = n * d * c.large_memory if spread else 0
    task = max(sum(task) for task in dealt(work.sizes, work, site))
    largest = max(factors if spread else 0, embedding_bytes(task, d))
    store = c.store_share * c.node_memory
    return [
        Limit("reference sweep", "a GPU: images of a training step", batch, c.gpu_memory),
        Limit("linkage", "a GPU: the largest class", on_gpu, c.gpu_memory),
        Limit("read", "memory of the head: lists", work.images * c.head_memory, c.node_memory),
        Limit("linkage", "memory of the head: the largest class", large, c.node_memory),
        Limit("sweep", "memory of a node: processes with their lists", lists, c.node_memory),
        Limit("linkage", "object store of a node", work.images * c.listed_bytes + largest, store),
        Limit("linkage subsets", "the largest object of the store", largest, c.largest_object),
        Limit("read", "disk of a node: its copy of all images", work.encoded, c.node_disk),
        Limit("linkage", "actors of Ray, one a GPU", site.processes, c.most_actors),
    ]


def load(path: Path) -> tuple[Constants, list[dict[str, Any]]]:
    """Return what `measure` has written: the constants, and the formulas held against runs."""
    content = json.loads(path.read_text())
    return Constants(**content["constants"]), content["checks"]


def main() -> None:
    """Measure what the formulas need, or print what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("measure", help="measure constants and check the formulas here")
    measure.add_argument("images", help="small images with labels, such as parquet:TRAIN_GLOB")
    measure.add_argument("--only", nargs="+", help="parts to measure again; the others are kept")
    predict = commands.add_parser("predict", help="print all tables")
    predict.add_argument("--constants", type=Path, default=RESULTS / f"{NAME}.json")
    predict.add_argument("--price", type=float, default=2.0, help="USD a GPU hour; 2 is assumed")
    predict.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="changes")
    given = parser.parse_args()
    if given.command == "measure":
        from benchmarks.scale_measure import measure_all

        print(measure_all(given.images, given.only))
        return
    from benchmarks.scale_tables import tables

    constants, checks = load(given.constants)
    changes: Mapping[str, float] = {
        name: float(value) for name, _, value in (one.partition("=") for one in given.changes)
    }
    for table in tables(replace(constants, **changes), given.price, checks):
        print(table)


if __name__ == "__main__":
    main()

"""Counts the bytes that stages move, and holds the formulas of `scale_model` against them.

Legend: n rows of a class, D dimensions.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray import cloudpickle
from ray._private.internal_api import memory_summary
from ray.cluster_utils import Cluster

from benchmarks.scale_inputs import Constants, Network
from benchmarks.scale_measure import Checks, Part, check
from benchmarks.scale_model import (
    embedding_bytes,
    factor_bytes,
    near_pairs,
    pair_bytes,
    state_bytes,
    tree_bytes,
)
from benchmarks.scale_runs import KEEP, SPREAD, Stages
from benchmarks.scale_tables import size
from rayred.clustering.on_ray import RayMap
from rayred.clustering.trees import ClassTrees, kept_images, save_trees
from rayred.linkage import EngineSettings, Tree, complete_linkage
from rayred.linkage.rows import as_unit_rows
from rayred.machines.layout import Scaling
from rayred.models import build_model
from rayred.training import Checkpoints, Task, train_model

BYTES = "Bytes"


def measure_bytes(images: str) -> Part:
    """Count the bytes that move, and compare them with the formulas."""
    torch.set_num_threads(1)
    stages = Stages(images)
    n, d = stages.rows.shape
    c = Constants.unmeasured()
    checks: Checks = []

    def add(what: str, predicted: float, counted: float) -> None:
        checks.append(check((BYTES, what, "bytes"), predicted, counted, size))

    pixels = np.asarray(stages.dataset.train.images)
    add("data set in the object store: its pixels", pixels.nbytes, _sent(stages.dataset))
    counting = Counting()
    trees = stages.cluster(counting, 2)
    add("embeddings handed to actors", embedding_bytes(n, d), counting.tasks)
    counting = Counting()
    stages.spread(counting, 2)
    found = near_pairs(SPREAD[0], KEEP, c)[0]
    add("factors of one class spread", factor_bytes(*SPREAD), counting.function)
    add("near pairs that come back", pair_bytes(found), counting.results)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_trees(folder / "trees.npz", trees)
        merges = sum(len(tree.heights) for tree in trees.trees)
        add("trees.npz", tree_bytes(n, merges), (folder / "trees.npz").stat().st_size)
        checkpoints = Checkpoints(str(folder), "training")
        recipe = stages.task.recipe.model_copy(update={"steps": 2, "checkpoint_steps": 1})
        task = replace(stages.task, recipe=recipe)
        train_model(task, stages.dataset, np.arange(n), save=checkpoints.save)
        written = (folder / "training" / "training.pt").stat().st_size
        add(f"checkpoint of {task.spec.name}", state_bytes(_network(task)), written)
    in_stores, fetch_byte = _two_nodes(*SPREAD)
    add("factors in the stores of two nodes, 3 actors", 2 * factor_bytes(*SPREAD), in_stores)
    near = [_near_wanted(stages.rows[rows], tree) for rows, tree in _each(trees)]
    listed = [_listed(stages.rows[rows]) for rows, _ in _each(trees)]
    pairs = sum(near_pairs(len(rows), KEEP, c)[0] for rows, _ in _each(trees))
    first = sum(one[0] for one in listed)
    pairs_place = BYTES, "near pairs of the first stages, 10 classes", "number"
    checks.append(check(pairs_place, pairs, first, "{:,}".format))
    figures = {
        "fetch_byte": fetch_byte,
        "near_wanted": float(np.mean(near)),
        "stages": float(np.mean([len(one) for one in listed])),
    }
    return Part(figures, checks)


class Counting:
    """The built-in `map`, which counts the bytes that Ray would move."""

    def __init__(self) -> None:
        self.function = self.tasks = self.results = 0

    def __call__(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        """Yield what the function returns of each task."""
        self.function = _sent(function)
        for task in tasks:
            self.tasks += _sent(task)
            result = function(task)
            self.results += _sent(result)
            yield result


def _sent(value: Any) -> int:
    """Return the bytes of a value as Ray pickles it: arrays beside the rest."""
    buffers: list[Any] = []
    content = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    total: int = len(content) + sum(buffer.raw().nbytes for buffer in buffers)
    return total


def _each(trees: ClassTrees) -> list[tuple[NDArray[np.int64], Tree]]:
    return list(zip(trees.members, trees.trees, strict=True))


def _network(task: Task) -> Network:
    model = build_model(task.spec)
    learned = sum(weight.numel() for weight in model.parameters())
    kept = sum(b.numel() for b in model.buffers() if b.is_floating_point())
    return Network(task.spec.name, learned, kept, 0.0)


def _near_wanted(x: NDArray[np.float32], tree: Tree) -> float:
    """Return how many other rows are within the height of the last merge, a row."""
    unit = as_unit_rows(x)
    near = (1 - unit @ unit.T <= tree.heights[-1]).sum() - len(x)
    return float(near) / len(x)


def _listed(x: NDArray[np.float32]) -> list[int]:
    """Return the near pairs of every stage of a class, from what the engine reports."""
    said: list[str] = []
    settings = EngineSettings(
        device="cpu", progress=lambda text, share: said.append(text) if share == 0 else None
    )
    complete_linkage(x, kept_images(len(x), KEEP), settings=settings)
    found = (re.search(r", ([\d,]+) near pairs$", text) for text in said)
    return [int(one[1].replace(",", "")) for one in found if one]


def _two_nodes(n: int, d: int) -> tuple[float, float]:
    """Return the bytes of a large class in the stores of two Ray nodes, and seconds to fetch one.

    Both nodes are on this machine: what is counted is right, and the seconds are those of Ray's
    own copying, without a network.
    """
    with _own_folder(), _nodes() as address:
        block = np.zeros(2**27, np.uint8)
        far = ray.remote(_seconds_to_fetch).options(resources={"far": 1})
        took = min(ray.get(far.remote([ray.put(block)])) for _ in range(4))
        factors = np.zeros((2, n, d + 2), np.float32)
        with RayMap(Scaling(workers=3)) as map:
            results = iter(map(partial(_touch, factors), range(7)))
            list(islice(results, 6))  # the last is waited for below: the function is still held
            used = memory_summary(address, stats_only=True)
            list(results)
    found = re.search(r"Plasma memory usage (\d+) MiB", used)
    assert found is not None, used
    return float(found[1]) * 2**20, took / block.nbytes


@contextmanager
def _nodes() -> Iterator[str]:
    """Start two Ray nodes on this machine; yields their address."""
    size = {"object_store_memory": 2**29}
    head = {"num_cpus": 1, "include_dashboard": False, **size}
    nodes = Cluster(initialize_head=True, head_node_args=head)
    try:
        nodes.add_node(num_cpus=2, resources={"far": 2}, **size)
        ray.init(address=nodes.address, log_to_driver=False, logging_level=40)
        yield nodes.address
    finally:
        ray.shutdown()
        nodes.shutdown()


@contextmanager
def _own_folder() -> Iterator[None]:
    """Have a cluster note its address where no other program of this machine looks for one."""
    before = os.environ.get("RAY_TMPDIR")
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        os.environ["RAY_TMPDIR"] = folder
        try:
            yield
        finally:
            del os.environ["RAY_TMPDIR"]
            if before is not None:
                os.environ["RAY_TMPDIR"] = before


def _seconds_to_fetch(refs: list[Any]) -> float:
    started = time.perf_counter()
    ray.get(refs[0])
    return time.perf_counter() - started


def _touch(factors: NDArray[np.float32], task: int) -> float:
    return float(factors[0, task, 0])

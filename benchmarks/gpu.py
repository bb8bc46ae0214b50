"""Every figure of this project that needs a GPU, in one call of under nine minutes.

    .venv/bin/python -m benchmarks.gpu [--dataset cifar10]     # writes docs/results/gpu.json
    .venv/bin/python -m benchmarks.gpu --smoke                 # tiny sizes, on a CPU too

Needs neither Ray nor MLflow. Every row is measured after a warm-up of its own; rivals run in the
same call. Without CIFAR-10 the trainings run on random images and have no accuracy.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torchvision.transforms import v2 as transforms

from benchmarks.linkage import KINDS, make_rows
from benchmarks.record import print_table, random_images, write_results
from rayred.config import Data, Train
from rayred.config.file import load_experiment
from rayred.data import load_dataset
from rayred.data.dataset import Dataset
from rayred.linkage import complete_linkage, linkage_trees, representatives
from rayred.models import build_model
from rayred.training import Outcome, Task, Worker, train_model, train_pack

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
SOFT_LIMIT = 480.0
"""Seconds after which no further row begins: it is left out, and said to be."""


@dataclass(frozen=True)
class Sizes:
    """How much work the rows are."""

    rows: int = 1_000_000
    imagenet: tuple[int, int, int] = (1_281_167, 2_048, 1_000)
    images: int = 50_000
    runs: int = 20
    pack: int = 10
    fast: Mapping[str, int] = field(default_factory=dict)
    """Settings of the fast recipe that are not the file's."""
    paper_steps: int = 400
    plain_steps: int = 200


SMOKE = Sizes(3_000, (2_000, 64, 10), 400, 2, 2, {"steps": 3, "batch_size": 32}, 2, 2)
Row = tuple[str, str, str]
"""Work, figure, and what it is held against."""


class Bench:
    """The rows, one after another."""

    def __init__(self, device: torch.device, dataset: Dataset, has_labels: bool, sizes: Sizes):
        self.device = device
        self.dataset = dataset
        self.has_labels = has_labels
        self.sizes = sizes
        self.worker = Worker(device)
        self.everything = np.arange(len(dataset.train))

    def linkage(self, kind: str) -> list[Row]:
        """Cluster many rows of one class."""
        x = make_rows(kind, self.sizes.rows)
        complete_linkage(x[:1_000], 900)
        seconds = self.timed(lambda: complete_linkage(x, round(0.9 * len(x))))
        return [(f"linkage, n = {len(x):,}, d = 64, keep 0.9, {kind}", f"{seconds:.2f} s", "10 s")]

    def imagenet(self) -> list[Row]:
        """Cluster the classes of ImageNet's shape, and find their representatives."""
        n, d, classes = self.sizes.imagenet
        x = np.empty((n, d), np.float16)
        torch.manual_seed(0)
        for first in range(0, n, 20_000):
            size = min(20_000, n - first)
            centres = torch.randn(400, d, device=self.device).abs()
            noise = torch.randn(size, d, device=self.device)
            chosen = torch.randint(400, (size,), device=self.device)
            x[first : first + size] = (centres[chosen] + 0.4 * noise).abs().half().cpu().numpy()
        groups = np.array_split(np.arange(n), classes)
        counts = [round(0.9 * len(rows)) for rows in groups]
        list(linkage_trees(x, groups[:2], counts[:2]))
        trees: list[Any] = []
        seconds = self.timed(lambda: trees.extend(linkage_trees(x, groups, counts)))
        kept = self.timed(
            lambda: [
                representatives(x[rows], tree.labels(count))
                for rows, count, tree in zip(groups, counts, trees, strict=True)
            ]
        )
        name = f"{n:,} × {d} in {classes:,} classes, keep 0.9"
        return [
            (f"linkage, {name}", f"{seconds:.2f} s", "10 s"),
            (f"representatives (on the CPU), {name}", f"{kept:.2f} s", ""),
        ]

    def fast_recipe(self) -> list[Row]:
        """Train by `cifar10-fast.yaml`, one by one and packed."""
        task = self.fast_task()
        train_model(task, self.dataset, self.everything, worker=self.worker)
        single = [self.whole_run([replace(task, seed=seed)]) for seed in range(self.sizes.runs)]
        rows = [
            (
                f"fast recipe, {self.sizes.runs} runs, seconds a run",
                f"{statistics.mean(seconds for seconds, _ in single):.2f} s",
                "2 s",
            ),
            ("fast recipe, mean accuracy", self.accuracy([o for _, o in single]), "94.0 %"),
        ]
        tasks = [replace(task, seed=seed) for seed in range(self.sizes.pack)]
        self.whole_run(tasks)
        seconds, outcomes = self.whole_run(tasks)
        each = seconds / len(tasks)
        name = f"fast recipe, pack of {len(tasks)}"
        rows.append((f"{name}, seconds a run", f"{each:.2f} s", "1 s"))
        rows.append((f"{name}, mean accuracy", self.accuracy([outcomes]), "as above"))
        return rows

    def paper_recipe(self) -> list[Row]:
        """Train ResNet-32 by the paper's recipe, against a plain loop, and packed."""
        task = self.paper_task()
        alone = self.rate([task])
        tasks = [replace(task, seed=seed) for seed in range(self.sizes.pack)]
        packed = self.rate(tasks)
        plain = self.plain_rate(task)
        return [
            ("paper recipe, ResNet-32, images/s", f"{alone:,.0f}", ""),
            ("plain PyTorch loop with a DataLoader, images/s", f"{plain:,.0f}", ""),
            ("times faster", f"{alone / plain:.1f}", "5"),
            (f"pack of {len(tasks)}, images/s", f"{packed:,.0f}", ""),
            ("times faster than one by one", f"{packed / alone:.1f}", "3"),
        ]

    def compiled_fast(self) -> list[Row]:
        """Train by the fast recipe with a compiled network."""
        task = self.fast_task(compile=True)
        self.whole_run([task])
        runs = [self.whole_run([replace(task, seed=seed)])[0] for seed in range(3)]
        return [("fast recipe, compiled, seconds a run", f"{statistics.mean(runs):.2f} s", "2 s")]

    def compiled_paper(self, trials: int) -> list[Row]:
        """Train some trials at a time by the paper's recipe with compiled networks."""
        task = self.paper_task(compile=True)
        rate = self.rate([replace(task, seed=seed) for seed in range(trials)])
        name = "paper recipe" if trials == 1 else f"pack of {trials}"
        return [(f"{name}, compiled, images/s", f"{rate:,.0f}", "")]

    def rate(self, tasks: list[Task]) -> float:
        """Return images/s of all trainings together, after one that is not counted."""
        rows = [self.everything] * len(tasks)
        for _ in range(2):
            outcomes = train_pack(tasks, self.dataset, rows, worker=self.worker)
            seconds = sum(o.train_seconds for o in outcomes if isinstance(o, Outcome))
        return sum(task.recipe.steps * task.recipe.batch_size for task in tasks) / seconds

    def plain_rate(self, task: Task) -> float:
        """Return images/s of the usual loop: torchvision's transforms in a DataLoader, float32."""
        prepare = transforms.Compose(
            [
                transforms.RandomCrop(self.dataset.train.image_shape[0], padding=4),
                transforms.RandomHorizontalFlip(),
            ]
        )
        images = torch.from_numpy(self.dataset.train.images).permute(0, 3, 1, 2)
        labels = self.dataset.train.labels

        class Images(torch.utils.data.Dataset[tuple[Any, int]]):
            def __len__(self) -> int:
                return len(labels)

            def __getitem__(self, row: int) -> tuple[Any, int]:
                return prepare(images[row]), int(labels[row])

        loader = DataLoader(
            Images(),
            task.recipe.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=8,
            pin_memory=self.device.type == "cuda",
            persistent_workers=True,
        )
        model = build_model(task.spec).to(self.device).train()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
        steps, started = 0, 0.0
        while steps < 2 * self.sizes.plain_steps:
            for x_BCHW, y_B in loader:
                if steps == self.sizes.plain_steps:  # the first half was warm-up
                    self.wait()
                    started = time.perf_counter()
                loss = F.cross_entropy(model(x_BCHW.to(self.device)), y_B.to(self.device))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                steps += 1
                if steps == 2 * self.sizes.plain_steps:
                    break
        self.wait()
        seconds = time.perf_counter() - started
        return self.sizes.plain_steps * task.recipe.batch_size / seconds

    def fast_task(self, **changes: object) -> Task:
        """Return the training of `cifar10-fast.yaml`, of the data set at hand."""
        experiment = load_experiment(EXPERIMENTS / "cifar10-fast.yaml")
        return self.task(experiment.model, experiment.train, {**self.sizes.fast, **changes})

    def paper_task(self, **changes: object) -> Task:
        """Return the first steps of ResNet-32's training by the paper's recipe."""
        recipe = load_experiment(EXPERIMENTS / "cifar10.yaml").train
        few = {"steps": self.sizes.paper_steps, "warmup_steps": 1}
        return self.task("resnet32", recipe, {**few, **changes})

    def task(self, model: str, recipe: Train, changes: Mapping[str, object]) -> Task:
        """Return a training of the data set at hand."""
        return Task.for_dataset(model, self.dataset, recipe.model_copy(update=dict(changes)), 0)

    def whole_run(self, tasks: list[Task]) -> tuple[float, list[Outcome]]:
        """Return the seconds of whole runs, set-up and test included, and what came out."""
        outcomes: list[Any] = []
        rows = [self.everything] * len(tasks)
        seconds = self.timed(
            lambda: outcomes.extend(train_pack(tasks, self.dataset, rows, worker=self.worker))
        )
        return seconds, outcomes

    def accuracy(self, runs: list[list[Outcome]]) -> str:
        """Return mean and deviation in percent."""
        if not self.has_labels:
            return "random images: none"
        reached = [100 * outcome.test_accuracy for run in runs for outcome in run]
        return f"{statistics.mean(reached):.2f} ± {statistics.pstdev(reached):.2f} %"

    def timed(self, work: Callable[[], Any]) -> float:
        """Return the seconds that it takes, the GPU's work included."""
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - started

    def wait(self) -> None:
        """Wait until the GPU has done all."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    """Measure all, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", help="cifar10 or a parquet:GLOB; none: random images")
    parser.add_argument("--test", help="test split of a parquet:GLOB")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that it runs")
    given = parser.parse_args()
    sizes = SMOKE if given.smoke else Sizes()
    if not given.smoke and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU; --smoke runs tiny sizes on a CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if given.dataset:
        dataset = load_dataset(given.dataset, Data(test=given.test))
    else:
        dataset = random_images(sizes.images, max(sizes.images // 5, 100))
    bench = Bench(device, dataset, bool(given.dataset), sizes)
    parts: dict[str, Callable[[], list[Row]]] = {
        **{f"linkage {kind}": partial(bench.linkage, kind) for kind in KINDS},
        "imagenet": bench.imagenet,
        "fast recipe": bench.fast_recipe,
        "paper recipe": bench.paper_recipe,
        "paper recipe, compiled": partial(bench.compiled_paper, 1),
        "fast recipe, compiled": bench.compiled_fast,
        "pack, compiled": partial(bench.compiled_paper, sizes.pack),
    }
    rows: list[Row] = []
    started = time.perf_counter()
    for name, measure in parts.items():
        if time.perf_counter() - started > SOFT_LIMIT:
            rows.append((name, "left out: no time left", ""))
            continue
        try:
            found = measure()
        except Exception as error:  # noqa: BLE001 - the other rows are worth having all the same
            found = [(name, f"failed: {error!r}", "")]
        for row in found:
            print(*row, sep=" | ", flush=True)
        rows += found
    print(f"{time.perf_counter() - started:.0f} s in all")
    print_table(["work", "measured", "must"], [list(row) for row in rows])
    if not given.smoke:
        gpu = torch.cuda.get_device_name()
        path = write_results("gpu", {"gpu": gpu, "dataset": dataset.name, "rows": rows})
        print(f"written to {path}")


if __name__ == "__main__":
    main()

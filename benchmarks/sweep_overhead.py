"""What Ray Tune and rayred add to the training of a sweep.

The sweep of experiments/digits.yaml (55 trials), start of the actors included. The ratio is its
wall time over the pure training seconds of all trials divided by the trials at a time: 1 would be
a sweep that does nothing but train. The subsets are random here: the time does not depend on how
they were chosen.

    .venv/bin/python -m benchmarks.sweep_overhead [RUNS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.record import print_table, write_results
from rayred.config.file import load_experiment
from rayred.data import load_dataset
from rayred.machines.connect import connect, share
from rayred.machines.layout import Layout
from rayred.machines.tune import Runner
from rayred.sweep.on_ray import PackTraining, run_sweep
from rayred.sweep.plan import plan_trials
from rayred.training import Task

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "digits.yaml"


def measure() -> dict[str, float]:
    """Run the sweep once in a Ray of its own."""
    experiment = load_experiment(EXPERIMENT)
    digits = load_dataset(experiment.dataset)
    plan = plan_trials(experiment.sweep, experiment.seed)
    rng = np.random.default_rng(0)
    n = len(digits.train)
    subsets = {
        trial.subset: np.sort(rng.choice(n, round(trial.fraction * n), replace=False))
        for trial in plan
    }
    with tempfile.TemporaryDirectory() as folder, connect("local") as cluster:
        layout = Layout.plan(experiment.resources, "auto", cluster, folder)
        task = Task.for_dataset(experiment.model, digits, experiment.train, experiment.seed)
        refs = {name: share(rows) for name, rows in subsets.items()}
        keys = {trial.name: trial.name for trial in plan}
        train = PackTraining(task, share(digits), refs, keys, layout)
        started = time.perf_counter()
        results = list(run_sweep(plan, len(plan), train, Runner("sweep", layout)))
        wall = time.perf_counter() - started
    training = sum(result.train_seconds or 0.0 for result in results)
    concurrent = layout.concurrent_trials or cluster.cpus
    return {
        "trials": len(results),
        "concurrent_trials": concurrent,
        "wall_seconds": round(wall, 2),
        "training_seconds": round(training, 2),
        "ratio": round(wall / (training / concurrent), 3),
    }


def main() -> None:
    """Measure some times over, print a table and write JSON."""
    runs = [measure() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)]
    print_table(list(runs[0]), [[str(value) for value in run.values()] for run in runs])
    middle = median(run["ratio"] for run in runs)
    path = write_results("sweep_overhead", {"median_ratio": middle, "runs": runs})
    print(f"median ratio {middle}; written to {path}")


if __name__ == "__main__":
    main()

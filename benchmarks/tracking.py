"""What MLflow adds to a sweep: a child run a trial, into a SQLite database.

1,000 child runs with curves of ten points by one writer, against the wall time that 1,000 trials of
the sweep of experiments/digits.yaml would take as measured in the same run; then 1,000 by eight
writers at once, counted afterwards.

    .venv/bin/python -m benchmarks.tracking
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks import sweep_overhead
from benchmarks.record import print_table, write_results
from rayred.results.trial import Trial, TrialResult
from rayred.store import open_store
from rayred.tracking.client import create_store
from rayred.tracking.tracker import Tracker

RUNS = 1_000
WRITERS = 8
EXPERIMENT = "benchmark"
DATASET: dict[str, str | int] = {
    "name": "none",
    "digest": "0",
    "classes": 10,
    "n_train": 1,
    "n_test": 1,
}


def write_runs(uri: str, folder: Path, count: int) -> list[float]:
    """Log a study of `count` trials; returns the seconds that each took."""
    seconds = []
    with open_store(folder, make=True) as store:
        store.begin("study")
        tracker = Tracker(uri, EXPERIMENT, store, folder.name, {})
        tracker.start(DATASET)
        for number in range(count):
            point = {"epoch": 1.0, "train_loss": 0.5, "lr": 0.1, "test_accuracy": 0.9}
            curve = tuple({"step": 10 * step, **point} for step in range(10))
            trial = Trial("semantic", 0.9, number, number, "semantic-0.9")
            started = time.perf_counter()
            tracker.log_trial(TrialResult(trial, 100, "finished", 0.9, 1.0, curve=curve))
            seconds.append(time.perf_counter() - started)
    if tracker.failure is not None:
        raise RuntimeError(tracker.failure)
    return seconds


def count_runs(uri: str) -> int:
    """Return the number of finished child runs, all their metrics included, in a store."""
    client = create_store(uri)
    number = client.get_experiment_by_name(EXPERIMENT).experiment_id
    finished, token = 0, None
    while True:
        page = client.search_runs([number], "attributes.status = 'FINISHED'", page_token=token)
        finished += sum(len(run.data.metrics) == 5 for run in page)
        token = page.token
        if not token:
            return finished


def main() -> None:
    """Measure, print a table and write JSON."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        seconds = write_runs(f"sqlite:///{folder}/one.db", folder / "one", RUNS)
        sweep = sweep_overhead.measure()
        a_trial = sweep["wall_seconds"] / sweep["trials"]
        share = sum(seconds) / (RUNS * a_trial)
        uri = f"sqlite:///{folder}/eight.db"
        studies = [folder / f"writer-{number}" for number in range(WRITERS)]
        each = [RUNS // WRITERS] * WRITERS
        started = time.perf_counter()
        with ProcessPoolExecutor(WRITERS, get_context("spawn")) as writers:
            list(writers.map(write_runs, [uri] * WRITERS, studies, each))
        together = time.perf_counter() - started
        lost = sum(each) - count_runs(uri)
    rows = [
        ["a child run, mean of the first 100", f"{10 * sum(seconds[:100]):.1f} ms"],
        ["a child run, mean of the last 100", f"{10 * sum(seconds[-100:]):.1f} ms"],
        [f"{RUNS:,} child runs", f"{sum(seconds):.1f} s"],
        [f"the same, against {RUNS:,} trials of digits.yaml", f"{100 * share:.1f} %"],
        [f"{RUNS:,} by {WRITERS} writers at once, their start included", f"{together:.1f} s"],
        ["of these lost", str(lost)],
    ]
    print_table(["work", "figure"], rows)
    print(f"written to {write_results('tracking', {'rows': rows})}")


if __name__ == "__main__":
    main()

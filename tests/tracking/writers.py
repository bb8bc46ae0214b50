"""Studies logged to MLflow, by processes that can import no test."""

from __future__ import annotations

from pathlib import Path

from rayred.results.trial import Trial, TrialResult
from rayred.store import open_store
from rayred.tracking.client import create_store
from rayred.tracking.tracker import Tracker

DATASET: dict[str, str | int] = {
    "name": "none",
    "digest": "0",
    "classes": 10,
    "n_train": 1,
    "n_test": 1,
}


def write_study(uri: str, folder: Path, count: int) -> None:
    """Log a study of `count` trials."""
    with open_store(folder, make=True) as store:
        store.begin("study")
        tracker = Tracker(uri, "rayred", store, folder.name, {})
        tracker.start(DATASET)
        for number in range(count):
            point = {"epoch": 1.0, "train_loss": 0.5, "lr": 0.1, "test_accuracy": 0.9}
            curve = tuple({"step": 10 * step, **point} for step in range(10))
            trial = Trial("semantic", 0.9, number, number, "semantic-0.9")
            tracker.log_trial(TrialResult(trial, 100, "finished", 0.9, 1.0, curve=curve))
        assert tracker.failure is None


def count_children(uri: str) -> int:
    """Return the number of finished child runs that have all their metrics."""
    client = create_store(uri)
    number = client.get_experiment_by_name("rayred").experiment_id
    finished = client.search_runs([number], "attributes.status = 'FINISHED'", max_results=1000)
    return sum(len(run.data.metrics) == 5 for run in finished)

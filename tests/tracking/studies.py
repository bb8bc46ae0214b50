"""Studies of made-up accuracies, logged to MLflow as `rayred run` logs them; without Ray."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rayred.config import Experiment
from rayred.machines.environment import Environment
from rayred.results.table import save_results
from rayred.results.trial import TrialResult
from rayred.store import Store, open_store
from rayred.sweep.plan import plan_trials
from rayred.tracking.tracker import ARTIFACTS, Tracker
from rayred.verdict import judge

FACTS: dict[str, str | int] = {
    "name": "digits",
    "digest": "78cbe30e01a43b4a",
    "classes": 10,
    "n_train": 1000,
    "n_test": 500,
}
MADE_WITH = Environment({"python": "3.11.7", "rayred": "0.1.0", "torch": "2.14.1"}, 1, 2)
Accuracies = Mapping[tuple[str, float], float | None]
"""Mean accuracy by selector and fraction; None where all trials fail."""

REFERENCE: Any = SimpleNamespace(
    train_seconds=2.0,
    curve=(SimpleNamespace(step=20, train_loss=0.5, lr=0.1, test_accuracy=0.97),),
)
"""What the metrics of a reference come from; it has no model to log."""


@dataclass
class Study:
    """A study of a name, settings and accuracies."""

    folder: Path
    name: str
    accuracies: Accuracies
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment:
        selectors = dict.fromkeys(one for one, _ in self.accuracies if one != "full")
        sweep = {
            "fractions": sorted({fraction for _, fraction in self.accuracies}, reverse=True),
            "selectors": list(selectors),
            "trials": 3,
        }
        given = {"name": self.name, "dataset": "digits", "verdict": {"margin": 3}, "sweep": sweep}
        return Experiment.model_validate({**given, **self.settings})

    def trials(self) -> list[TrialResult]:
        """Every trial that accuracies are known of, each a little off its mean."""
        plan = plan_trials(self.experiment.sweep, 0)
        planned = [one for one in plan if (one.selector, one.fraction) in self.accuracies]
        return [
            self._result(trial, self.accuracies[trial.selector, trial.fraction])
            for trial in planned
        ]

    @staticmethod
    def _result(trial: Any, mean: float | None) -> TrialResult:
        images = round(1000 * trial.fraction)
        if mean is None:
            return TrialResult(trial, images, "failed", reason="the loss is not finite at step 7")
        accuracy = round(mean + 0.001 * (trial.trial - 1), 6)
        point = {"epoch": 1.0, "train_loss": 0.5, "lr": 0.1}
        curve = (
            {"step": 10, **point, "test_accuracy": None},
            {"step": 20, **point, "test_accuracy": accuracy},
        )
        return TrialResult(trial, images, "finished", accuracy, 1.0, curve=curve)

    def write(self) -> Store:
        """Write what a finished study has in its folder, with little in the files."""
        with open_store(self.folder, asdict(MADE_WITH), make=True) as store:
            store.begin(self.name)
        verdict = judge(self.experiment.dataset_name, self.trials(), 3.0)
        said = {"sentence": verdict.sentence, "redundant_fraction": verdict.redundant_fraction}
        for folder in ("figures", "subsets"):
            (self.folder / folder).mkdir(exist_ok=True)
        for name in (*ARTIFACTS, "reference.pt"):
            (self.folder / name).write_text("")
        cells = [asdict(cell) for cell in verdict.cells]
        (self.folder / "results.json").write_text(json.dumps({"verdict": said, "cells": cells}))
        save_results(self.folder / "results.parquet", self.trials(), None)
        return store

    def log(self, uri: str) -> Tracker:
        """Log it to MLflow, without a reference model."""
        store, experiment = self.write(), self.experiment
        tracker = Tracker(uri, "rayred", store, self.name, experiment.params())
        tracker.start(FACTS)
        for result in self.trials():
            tracker.log_trial(result)
        tracker.finish(REFERENCE)
        return tracker


def three_studies(folder: Path) -> list[Study]:
    """Studies of two models; the third has a selector whose trials failed."""
    first = {
        ("full", 1.0): 0.97,
        ("semantic", 0.7): 0.969,
        ("random", 0.7): 0.967,
        ("semantic", 0.5): 0.968,
        ("random", 0.5): 0.9,
        ("k_center", 0.5): 0.96,
    }
    second = {("full", 1.0): 0.98, ("semantic", 0.7): 0.979, ("semantic", 0.5): 0.92}
    third = {("full", 1.0): 0.96, ("semantic", 0.5): 0.8, ("k_center", 0.5): None}
    return [
        Study(folder / "a", "small", first),
        Study(folder / "b", "large", second, {"model": "resnet20"}),
        Study(folder / "c", "failing", third, {"seed": 1}),
    ]

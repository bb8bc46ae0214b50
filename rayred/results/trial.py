"""The trials of a sweep: planned, finished, and the files that they are kept in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from rayred.config import Sweep
from rayred.selection import FULL, subset_name
from rayred.store import read_json, replacing, write_json


@dataclass(frozen=True)
class Trial:
    """One training of a sweep."""

    selector: str
    """A selector's name, or ``full``."""
    fraction: float
    """Share of every class that is trained on."""
    trial: int
    """Number of the repetition, from 0."""
    seed: int
    """Training seed: the same for all trainings of one repetition."""
    subset: str
    """Name of the subset that is trained on."""

    @property
    def name(self) -> str:
        """``SELECTOR-FRACTION-TRIAL``."""
        return f"{self.selector}-{self.fraction!r}-{self.trial}"


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial."""

    trial: Trial
    n_train: int
    """Number of training images."""
    status: Literal["finished", "failed"]
    test_accuracy: float | None = None
    """0 to 1; none if it failed."""
    train_seconds: float | None = None
    """Seconds spent on training steps; none if it failed."""
    reason: str = ""
    """Why it failed."""
    curve: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    """Points of the training's curve: step, epoch, train_loss, lr, test_accuracy."""


def plan_trials(sweep: Sweep, seed: int) -> list[Trial]:
    """Return all trials, one repetition after another, so that a part of them is already useful.

    The full set is trained on once a repetition, not once a selector.
    """
    plan = []
    for number in range(sweep.trials):
        train_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        for fraction in sorted(sweep.fractions, reverse=True):
            for selector in [FULL] if fraction == 1 else sweep.selectors:
                name = subset_name(selector, fraction, number)
                plan.append(Trial(selector, fraction, number, train_seed, name))
    return plan


def save_trial(folder: Path, key: str, result: TrialResult) -> None:
    """Write a trial's result, with the key of all that it depends on."""
    write_json(folder / f"{result.trial.name}.json", {"key": key, **asdict(result)})


def load_trial(folder: Path, key: str, trial: Trial) -> TrialResult | None:
    """Return the result of a trial if it was made under this key."""
    stored = read_json(folder / f"{trial.name}.json")
    return _as_result(stored) if stored.pop("key", None) == key else None


def load_trials(folder: Path, plan: Sequence[Trial]) -> list[TrialResult]:
    """Return the results of all trials of a plan that have one."""
    stored = [read_json(folder / f"{trial.name}.json") for trial in plan]
    return [_as_result({k: v for k, v in one.items() if k != "key"}) for one in stored if one]


def _as_result(stored: dict[str, Any]) -> TrialResult:
    trial, curve = Trial(**stored["trial"]), tuple(stored["curve"])
    return TrialResult(**{**stored, "trial": trial, "curve": curve})


def save_results(path: Path, results: Sequence[TrialResult]) -> None:
    """Write one row a trial to a Parquet file."""
    rows = [
        {
            "selector": result.trial.selector,
            "fraction": result.trial.fraction,
            "trial": result.trial.trial,
            "seed": result.trial.seed,
            "n_train": result.n_train,
            "test_accuracy": result.test_accuracy,
            "train_seconds": result.train_seconds,
            "status": result.status,
            "reason": result.reason,
        }
        for result in results
    ]
    table = pd.DataFrame(rows).astype({"test_accuracy": float, "train_seconds": float})
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)

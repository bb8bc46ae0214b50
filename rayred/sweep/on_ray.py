"""The sweep on Ray: packs of trials, several at a time.

A pack that needs one worker trains inside a process of Ray Tune, as one batched network; a trial
that needs several launches Ray Train from within.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray import tune

from rayred.data.dataset import Dataset
from rayred.errors import DataError, RayredError, TrainingError
from rayred.machines.layout import Layout
from rayred.machines.tune import Config, Plan, Report, Runner, run_trials
from rayred.progress import progress_bar
from rayred.results.trial import Trial, TrialResult, pack_correct
from rayred.sweep.plan import make_packs
from rayred.training import Outcome, Task, Trained, Worker
from rayred.training.fitting import fitting_pack, train_what_fits
from rayred.training.on_ray import train_with_ray


@dataclass(frozen=True)
class PackTraining:
    """Trains the packs of a sweep."""

    task: Task
    """Network and recipe; each trial has its own seed."""
    dataset: ray.ObjectRef[Dataset]
    subsets: Mapping[str, ray.ObjectRef[NDArray[np.int64]]]
    """Kept images of every subset, by name."""
    keys: Mapping[str, str]
    """Key of every trial, by name."""
    layout: Layout

    def __call__(self, config: Config, report: Report) -> None:
        """Train one pack, and report a result for each trial: also for one that fails by itself."""
        pack = [Trial(**member) for member in config["pack"]]
        tasks = [Task(self.task.spec, self.task.recipe, trial.seed) for trial in pack]
        rows = [self.subsets[trial.subset] for trial in pack]
        name = f"trial-{pack[0].name}-{len(pack)}-{self.keys[pack[0].name]}"
        outcomes: Sequence[Outcome | Trained | RayredError]
        try:
            if self.layout.trials.workers > 1:
                scaling, storage = self.layout.trials, self.layout.storage
                outcomes = [train_with_ray(tasks[0], self.dataset, rows[0], scaling, storage, name)]
            else:
                outcomes = self._train_here(tasks, rows, name)
        except (TrainingError, DataError) as error:
            outcomes = [error] * len(pack)
        results = [
            _result(trial, len(kept), outcome)
            for trial, kept, outcome in zip(pack, ray.get(rows), outcomes, strict=True)
        ]
        report({"results": [asdict(result) for result in results]})

    def _train_here(
        self, tasks: Sequence[Task], rows: Sequence[ray.ObjectRef[NDArray[np.int64]]], name: str
    ) -> list[Outcome | TrainingError]:
        torch.set_num_threads(self.layout.trials.threads)
        dataset, *indices = ray.get([self.dataset, *rows])
        worker = Worker(torch.device("cuda" if self.layout.trials.gpu else "cpu"))
        return train_what_fits(tasks, dataset, indices, worker, self.layout.storage, name)


def run_sweep(
    missing: Sequence[Trial], total: int, train: PackTraining, runner: Runner
) -> Generator[TrialResult, None, None]:
    """Yield the results of trials as they end.

    Parameters
    ----------
    missing
        The trials to run, in the order in which they start.
    total
        Number of trials of the whole sweep; the others are done already.
    train
        Trains a pack.
    runner
        Runs several trainings at a time.

    Raises
    ------
    RayredError
        Trials lost their process again and again.
    """
    if not missing:
        return
    packs = make_packs(missing, train.layout.trials_per_pack or _fitting_pack_size(train))
    plan = Plan(
        unit="trial",
        total=total,
        space=tune.grid_search([{"pack": [asdict(trial) for trial in pack]} for pack in packs]),
        names=lambda config: [Trial(**member).name for member in config["pack"]],
        left=len(packs),
    )
    done = total - len(missing)
    with (
        progress_bar("sweep", "trial", total, done) as bar,
        closing(run_trials(plan, train, runner)) as ended,
    ):
        best, failed = 0.0, 0
        for pack in ended:
            for stored in pack.reports[-1]["results"]:
                result = TrialResult.from_json(stored)
                best = max(best, result.test_accuracy or 0.0)
                failed += result.status == "failed"
                bar.update()
                bar.set_postfix_str(
                    f"{pack.running} running, {failed} failed, best {100 * best:.2f} %"
                )
                yield result


def _fitting_pack_size(train: PackTraining) -> int:
    """Return how many trainings fit into the memory of a GPU."""
    share = 1 / train.layout.trials_per_gpu
    probe = ray.remote(fitting_pack).options(num_cpus=train.layout.trials.cpus, num_gpus=share)
    size: int = ray.get(probe.remote(train.task, train.dataset, share))
    return size


def _result(trial: Trial, n_train: int, outcome: Outcome | Trained | RayredError) -> TrialResult:
    if isinstance(outcome, RayredError):
        return TrialResult(trial, n_train, "failed", reason=str(outcome))
    curve: tuple[dict[str, Any], ...] = tuple(asdict(point) for point in outcome.curve)
    return TrialResult(
        trial,
        n_train,
        "finished",
        outcome.test_accuracy,
        outcome.train_seconds,
        curve=curve,
        correct=pack_correct(outcome.correct),
    )

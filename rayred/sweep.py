"""The sweep: fraction × selector × trial with Ray Tune.

A trial that needs one worker trains inside a reused Tune actor; one that needs several launches
Ray Train from within the trial. Images reach the actors through Ray's object store, once a node.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from rayred.data.dataset import Dataset
from rayred.errors import DataError, RayredError, TrainingError
from rayred.execution import Execution
from rayred.progress import progress_bar
from rayred.results import Trial, TrialResult, load_trial, save_trial
from rayred.run_folder import digest
from rayred.training.checkpoints import Checkpoints
from rayred.training.loop import Task, Worker, train_model
from rayred.training.ray_train import MAX_FAILURES, train_with_ray

logger = logging.getLogger(__name__)

TRIAL_VERSION = 1
"""Raised whenever the code changes what a training makes of the same inputs."""


@dataclass(frozen=True)
class SweepInputs:
    """What all trials share."""

    task: Task
    """Network and recipe; each trial has its own seed."""
    dataset_ref: ray.ObjectRef[Dataset]
    dataset_digest: str
    subsets: Mapping[str, NDArray[np.int64]]
    """Kept images of every subset, by name."""

    def key(self, trial: Trial, workers: int) -> str:
        """Return the key of all that the trial's result depends on."""
        subset = np.ascontiguousarray(self.subsets[trial.subset])
        return digest(
            {
                "version": TRIAL_VERSION,
                "dataset": self.dataset_digest,
                "model": self.task.spec.name,
                "recipe": self.task.recipe.model_dump(mode="json"),
                "seed": trial.seed,
                "subset": hashlib.sha256(subset.data).hexdigest(),
                "workers": workers,
            }
        )


def remove_stale_trials(
    plan: Sequence[Trial], inputs: SweepInputs, execution: Execution, folder: Path
) -> None:
    """Remove results of the plan's names that another config has left."""
    for trial in plan:
        if load_trial(folder, inputs.key(trial, execution.trials.workers), trial) is None:
            (folder / f"{trial.name}.json").unlink(missing_ok=True)


def run_sweep(
    plan: Sequence[Trial],
    inputs: SweepInputs,
    execution: Execution,
    folder: Path,
    on_result: Callable[[TrialResult], None],
) -> list[TrialResult]:
    """Run the trials that have no result in `folder` yet, and return the results of all.

    Parameters
    ----------
    plan
        The trials wanted, in the order in which they start.
    inputs, execution
        What they share, and how they run.
    folder
        Where each result is written as soon as its trial has ended.
    on_result
        Told of every result, those of an earlier run first.

    Raises
    ------
    RayredError
        A trial failed again and again without a result, as where its machine is lost.
    """
    keys = {trial.name: inputs.key(trial, execution.trials.workers) for trial in plan}
    results = {}
    for trial in plan:
        result = load_trial(folder, keys[trial.name], trial)
        if result is not None:
            results[trial.name] = result
            on_result(result)
    missing = [trial for trial in plan if trial.name not in results]
    if results:
        logger.info("sweep: %d of %d trials are already done", len(results), len(plan))
    if missing:
        with progress_bar("sweep", "trial", len(plan), len(results)) as bar:
            recorder = _Recorder(folder, keys, on_result, len(plan), results, bar)
            _tune(missing, inputs, execution, recorder)
        if recorder.lost:
            name, error = next(iter(recorder.lost.items()))
            raise RayredError(
                f"{len(recorder.lost)} of {len(plan)} trials failed {MAX_FAILURES + 1} times; run"
                f" again to go on with them. First of them: {name}: {error}"
            )
    return [results[trial.name] for trial in plan]


class _Recorder(tune.Callback):  # type: ignore[misc]
    """Keeps the result of every trial the moment that it ends."""

    def __init__(
        self,
        folder: Path,
        keys: Mapping[str, str],
        on_result: Callable[[TrialResult], None],
        total: int,
        results: dict[str, TrialResult],
        bar: Any,
    ) -> None:
        self.folder = folder
        self.keys = keys
        self.on_result = on_result
        self.total = total
        self.results = results
        self.lost: dict[str, str] = {}
        self.bar = bar
        self.running: set[str] = set()

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        self.running.add(trial.trial_id)
        self._show()

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        stored = trial.last_result["result"]
        result = TrialResult(Trial(**trial.config["trial"]), **stored)
        save_trial(self.folder, self.keys[result.trial.name], result)
        self.results[result.trial.name] = result
        self.on_result(result)
        logger.info(
            "sweep: %*d/%d %-20s %s",
            len(str(self.total)),
            len(self.results),
            self.total,
            result.trial.name,
            f"failed: {result.reason}"
            if result.test_accuracy is None
            else f"accuracy {100 * result.test_accuracy:.2f} %, {result.train_seconds:.1f} s",
        )
        self.running.discard(trial.trial_id)
        self.bar.update()
        self._show()

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        name = Trial(**trial.config["trial"]).name
        error = trial.get_pickled_error()
        self.lost[name] = str(error).strip().splitlines()[-1] if error else "no reason given"
        self.running.discard(trial.trial_id)
        self._show()

    def _show(self) -> None:
        reached = [r.test_accuracy for r in self.results.values() if r.test_accuracy is not None]
        failed = len(self.results) - len(reached) + len(self.lost)
        best = f", best {100 * max(reached):.2f} %" if reached else ""
        self.bar.set_postfix_str(f"{len(self.running)} running, {failed} failed{best}")


def _tune(
    missing: Sequence[Trial], inputs: SweepInputs, execution: Execution, recorder: _Recorder
) -> None:
    scaling = execution.trials
    needed = {trial.subset for trial in missing}
    subset_refs = {name: ray.put(inputs.subsets[name]) for name in needed}
    trainable = tune.with_parameters(
        _run_trial, shared=(inputs.task, inputs.dataset_ref, subset_refs, execution)
    )
    share = 1 / execution.trials_per_gpu
    resources: dict[str, float] = {"CPU": scaling.threads, "GPU": share if scaling.gpu else 0}
    if scaling.workers > 1:
        # The trial itself only waits: Ray Train reserves what its workers need. It waits on the
        # head node, which is the last one to be lost.
        resources = {"node:__internal_head__": 0.001}
    tune.Tuner(
        tune.with_resources(trainable, resources),
        param_space=tune.grid_search(
            [{"trial": asdict(trial), "key": recorder.keys[trial.name]} for trial in missing]
        ),
        tune_config=tune.TuneConfig(
            max_concurrent_trials=execution.concurrent_trials, reuse_actors=scaling.workers == 1
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=execution.storage,
            callbacks=[recorder],
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            verbose=0,
        ),
    ).fit()


def _run_trial(config: dict[str, Any], shared: tuple[Any, ...]) -> None:
    """Train, and report the result; a training that fails by itself is a result as well."""
    trial = Trial(**config["trial"])
    task, dataset_ref, subset_refs, execution = shared
    task = Task(task.spec, task.recipe, trial.seed)
    indices_ref = subset_refs[trial.subset]
    try:
        run_name = f"trial-{trial.name}-{config['key']}"
        result = _train(run_name, task, dataset_ref, indices_ref, execution)
    except (TrainingError, DataError) as error:
        result = {"status": "failed", "reason": str(error)}
    tune.report({"result": {"n_train": len(ray.get(indices_ref)), **result}})


def _train(
    run_name: str,
    task: Task,
    dataset_ref: ray.ObjectRef[Dataset],
    indices_ref: ray.ObjectRef[NDArray[np.int64]],
    execution: Execution,
) -> dict[str, Any]:
    scaling = execution.trials
    if scaling.workers > 1:
        trained = train_with_ray(
            task, dataset_ref, indices_ref, scaling, execution.storage, run_name
        )
        accuracy, seconds, curve = trained.test_accuracy, trained.train_seconds, trained.curve
    else:
        torch.set_num_threads(scaling.threads)
        dataset, indices = ray.get([dataset_ref, indices_ref])
        worker = Worker(torch.device("cuda" if scaling.gpu else "cpu"))
        checkpoints = Checkpoints(execution.storage, run_name)
        outcome = train_model(
            task,
            dataset,
            indices,
            save=checkpoints.save,
            worker=worker,
            resume=checkpoints.load(),
        )
        checkpoints.remove()
        accuracy, seconds, curve = outcome.test_accuracy, outcome.train_seconds, outcome.curve
    return {
        "status": "finished",
        "test_accuracy": accuracy,
        "train_seconds": seconds,
        "curve": tuple(asdict(point) for point in curve),
    }

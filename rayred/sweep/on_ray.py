"""The sweep: fraction × selector × trial with Ray Tune.

A Tune trial is a pack: one or several trials of the study that are trained as one batched network.
A pack that needs one worker trains inside a reused Tune actor; one that needs several launches Ray
Train from within. Images reach the actors through Ray's object store, once a node.
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
from rayred.machines.layout import Execution
from rayred.machines.tune import run_trials
from rayred.progress import progress_bar
from rayred.results.trial import Trial, TrialResult, load_trial, save_trial
from rayred.store import digest
from rayred.training.checkpoints import Checkpoints
from rayred.training.loop import Outcome, State, Task, Worker, part_of_state, train_pack
from rayred.training.on_ray import MAX_FAILURES, train_with_ray
from rayred.training.trained import Trained

logger = logging.getLogger(__name__)

PACKED_MEMORY = 0.8
"""Share of a GPU's memory that a pack may fill."""
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
                "recipe": self.task.recipe.decisive(),
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
        self.running: dict[str, int] = {}
        """Trials of the study in every Tune trial that runs."""

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        self.running[trial.trial_id] = len(trial.config["pack"])
        self._show()

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        for member, stored in zip(trial.config["pack"], trial.last_result["results"], strict=True):
            self._keep(TrialResult(Trial(**member), **stored))
        del self.running[trial.trial_id]
        self._show()

    def _keep(self, result: TrialResult) -> None:
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
        self.bar.update()

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        error = trial.get_pickled_error()
        reason = str(error).strip().splitlines()[-1] if error else "no reason given"
        self.lost |= {Trial(**member).name: reason for member in trial.config["pack"]}
        self.running.pop(trial.trial_id, None)
        self._show()

    def _show(self) -> None:
        reached = [r.test_accuracy for r in self.results.values() if r.test_accuracy is not None]
        failed = len(self.results) - len(reached) + len(self.lost)
        best = f", best {100 * max(reached):.2f} %" if reached else ""
        self.bar.set_postfix_str(f"{sum(self.running.values())} running, {failed} failed{best}")


def _tune(
    missing: Sequence[Trial], inputs: SweepInputs, execution: Execution, recorder: _Recorder
) -> None:
    scaling = execution.trials
    needed = {trial.subset for trial in missing}
    subset_refs = {name: ray.put(inputs.subsets[name]) for name in needed}
    size = execution.trials_per_pack
    if size is None:
        share = 1 / execution.trials_per_gpu
        fitting = ray.remote(_fitting_pack).options(num_cpus=scaling.threads, num_gpus=share)
        size = ray.get(fitting.remote(inputs.task, inputs.dataset_ref, share))
        logger.info("sweep: up to %d trials fit into a pack", size)
    packs = [
        {"pack": [asdict(trial) for trial in pack], "key": recorder.keys[pack[0].name]}
        for pack in make_packs(missing, size)
    ]
    shared = (inputs.task, inputs.dataset_ref, subset_refs, execution)
    run_trials("sweep", _run_pack, shared, tune.grid_search(packs), execution, recorder)


def make_packs(trials: Sequence[Trial], size: int) -> list[list[Trial]]:
    """Put trials of the same selector and fraction together, up to `size`, in order of the first.

    Sizes of the packs of one cell differ by one at most.
    """
    cells: dict[tuple[str, float], list[Trial]] = {}
    for trial in trials:
        cells.setdefault((trial.selector, trial.fraction), []).append(trial)
    packs = [
        [cell[i] for i in part]
        for cell in cells.values()
        for part in np.array_split(np.arange(len(cell)), -(-len(cell) // size))
    ]
    return sorted(packs, key=lambda pack: trials.index(pack[0]))


def _fitting_pack(task: Task, dataset: Dataset, share: float) -> int:
    """Return how many trainings fit into the free memory of a process's share of this GPU.

    Judged by one step of a pack of two.
    """
    one_step = task.recipe.model_copy(update={"steps": 1, "warmup_steps": 0})
    probe = Task(task.spec, one_step, task.seed)
    rows = np.arange(len(dataset.train))
    resident = getattr(dataset.train.images, "nbytes", 0)
    free, total = torch.cuda.mem_get_info()
    try:
        train_pack([probe] * 2, dataset, [rows] * 2, worker=Worker(torch.device("cuda")))
    except torch.OutOfMemoryError:
        return 1
    each = (torch.cuda.max_memory_allocated() - resident) / 2
    return max(1, int((PACKED_MEMORY * min(free, share * total) - resident) / each))


def _run_pack(config: dict[str, Any], shared: tuple[Any, ...]) -> None:
    """Train, and report the results; a training that fails by itself is a result as well."""
    pack = [Trial(**member) for member in config["pack"]]
    task, dataset_ref, subset_refs, execution = shared
    tasks = [Task(task.spec, task.recipe, trial.seed) for trial in pack]
    indices_refs = [subset_refs[trial.subset] for trial in pack]
    run_name = f"trial-{pack[0].name}-{len(pack)}-{config['key']}"
    outcomes: Sequence[Outcome | Trained | RayredError]
    try:
        if execution.trials.workers > 1:
            outcomes = [
                train_with_ray(
                    tasks[0],
                    dataset_ref,
                    indices_refs[0],
                    execution.trials,
                    execution.storage,
                    run_name,
                )
            ]
        else:
            outcomes = _train_here(tasks, dataset_ref, indices_refs, execution, run_name)
    except (TrainingError, DataError) as error:
        outcomes = [error] * len(pack)
    sizes = [len(rows) for rows in ray.get(indices_refs)]
    tune.report(
        {
            "results": [
                {"n_train": n, **_as_result(outcome)}
                for n, outcome in zip(sizes, outcomes, strict=True)
            ]
        }
    )


def _train_here(
    tasks: Sequence[Task],
    dataset_ref: ray.ObjectRef[Dataset],
    indices_refs: Sequence[ray.ObjectRef[NDArray[np.int64]]],
    execution: Execution,
    run_name: str,
) -> list[Outcome | TrainingError]:
    torch.set_num_threads(execution.trials.threads)
    dataset, *indices = ray.get([dataset_ref, *indices_refs])
    worker = Worker(torch.device("cuda" if execution.trials.gpu else "cpu"))
    return _train_what_fits(tasks, dataset, indices, worker, execution.storage, run_name)


def _train_what_fits(
    tasks: Sequence[Task],
    dataset: Dataset,
    indices: Sequence[NDArray[np.int64]],
    worker: Worker,
    storage: str,
    run_name: str,
    resume: State | None = None,
) -> list[Outcome | TrainingError]:
    """Train a pack, as two halves one after the other where it does not fit into the memory."""
    checkpoints = Checkpoints(storage, run_name)
    reached = checkpoints.load() or resume
    try:
        outcomes = train_pack(
            tasks, dataset, indices, save=checkpoints.save, worker=worker, resume=reached
        )
    except torch.OutOfMemoryError:
        if len(tasks) == 1:
            raise
        outcomes = []
    if not outcomes:
        torch.cuda.empty_cache()
        reached = checkpoints.load() or reached
        half = len(tasks) // 2
        for number, part in enumerate((slice(None, half), slice(half, None))):
            state = part_of_state(reached, part) if reached else None
            outcomes += _train_what_fits(
                tasks[part], dataset, indices[part], worker, storage, f"{run_name}-{number}", state
            )
    checkpoints.remove()
    return outcomes


def _as_result(outcome: Outcome | Trained | RayredError) -> dict[str, Any]:
    if isinstance(outcome, RayredError):
        return {"status": "failed", "reason": str(outcome)}
    return {
        "status": "finished",
        "test_accuracy": outcome.test_accuracy,
        "train_seconds": outcome.train_seconds,
        "curve": tuple(asdict(point) for point in outcome.curve),
    }

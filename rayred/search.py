"""The search for settings, before the study: candidates trained with Ray Tune.

Every candidate is trained once, on the training images but for some of every class, which it is
judged by; where the linkage is searched for, on what its own semantic subset keeps of them. The
test split is not touched. Trials of the verdict have nothing to do with the search: they are all
trained to their end afterwards, with the settings found.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator
from ray.tune.search.searcher import Searcher

from rayred.class_trees import kept_images
from rayred.config import Experiment
from rayred.data.dataset import Dataset
from rayred.errors import ConfigError, DataError, RayredError, TrainingError
from rayred.execution import Execution
from rayred.linkage import EngineSettings, linkage_trees, representatives
from rayred.progress import progress_bar
from rayred.run_folder import digest, read_json, write_json
from rayred.search_results import Candidate, Found, describe
from rayred.training.checkpoints import Checkpoints
from rayred.training.embedding import embed_images
from rayred.training.loop import Point, Task, Worker, train_model
from rayred.training.ray_train import MAX_FAILURES, train_with_ray

logger = logging.getLogger(__name__)

CANDIDATES = "search"
"""Folder within the run folder, where candidates are kept until all have ended."""
EVALUATIONS = 10
"""About as many times is a candidate judged that may be stopped early."""
GRACE_PERCENT = 20
"""Share of a training before which no candidate is stopped."""
REDUCTION = 3
"""Of so many candidates that get as far, one goes on."""


def hold_out(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, NDArray[np.int64]]:
    """Split the training images.

    Parameters
    ----------
    dataset
        The images.
    share
        Share of every class to hold out, in (0, 1); one image at least.
    seed
        Decides which.

    Returns
    -------
    dataset
        The same training images, tested on those held out.
    rows
        (n,) int64: the other training images.

    Raises
    ------
    ConfigError
        A class has one image only.
    """
    rng = np.random.default_rng([seed, 0])
    held = []
    for label, name in enumerate(dataset.classes):
        members = np.flatnonzero(dataset.train.labels == label)
        if len(members) < 2:
            raise ConfigError(f"sweep.search: class {name!r} has one image: none can be held out")
        count = min(len(members) - 1, max(1, round(share * len(members))))
        held.append(rng.choice(members, count, replace=False))
    rows = np.sort(np.concatenate(held))
    others = np.setdiff1d(np.arange(len(dataset.train)), rows)
    return Dataset(dataset.name, dataset.train, dataset.train.take(rows)), others


def search_settings(
    experiment: Experiment,
    dataset: Dataset,
    execution: Execution,
    folder: Path,
    on_candidate: Callable[[Candidate], None],
) -> Found:
    """Try candidates, and return the best; of equals, the one whose name is first.

    Parameters
    ----------
    experiment
        Its `sweep.space` and `sweep.search` say what is tried, its other settings the rest.
    dataset
        The images.
    execution
        How trainings run.
    folder
        Where every candidate is written as soon as it has ended; one that is there is not trained
        again.
    on_candidate
        Told of every candidate that has ended.

    Raises
    ------
    TrainingError
        No candidate was trained to the end.
    """
    held_out, rows = hold_out(dataset, experiment.sweep.search.validation, experiment.seed)
    known = {path.stem: read_json(path) for path in sorted(folder.glob("[!.]*.json"))}
    shared = (experiment, ray.put(held_out), ray.put(rows), execution, known)
    total = _count(experiment)
    if known:
        logger.info("search: %d of %d candidates are already done", len(known), total)
    with progress_bar("search", "candidate", total, 0) as bar:
        recorder = _Recorder(folder, on_candidate, total, bar)
        _tune(shared, recorder)
    if recorder.lost:
        raise RayredError(
            f"{len(recorder.lost)} of {total} candidates failed {MAX_FAILURES + 1} times; run again"
            f" to go on with them. First of them: {recorder.lost[0]}"
        )
    finished = [c for c in recorder.candidates if c.status == "finished" and c.accuracy is not None]
    if not finished:
        reasons = [candidate.reason for candidate in recorder.candidates if candidate.reason]
        raise TrainingError(f"search: no candidate was trained to the end: {reasons[0]}")
    best = min(finished, key=lambda candidate: (-(candidate.accuracy or 0.0), candidate.name))
    return Found(
        best.settings,
        best.accuracy or 0.0,
        judged_fraction(experiment),
        tuple(recorder.candidates),
    )


def _count(experiment: Experiment) -> int:
    if _method(experiment) == "grid":
        return int(np.prod([len(values) for values in experiment.sweep.space.values()]))
    return experiment.sweep.search.samples


def _method(experiment: Experiment) -> str:
    chosen = experiment.sweep.search.method
    if chosen != "auto":
        return chosen
    lists = all(isinstance(values, list) for values in experiment.sweep.space.values())
    return "grid" if lists else "random"


def _domain(values: Any, grid: bool) -> Any:
    if isinstance(values, list):
        return tune.grid_search(values) if grid else tune.choice(values)
    ((name, arguments),) = values.items()
    return tune.choice(arguments) if name == "choice" else getattr(tune, name)(*arguments)


def _tune(shared: tuple[Any, ...], recorder: _Recorder) -> None:
    experiment, _, _, execution, _ = shared
    method = _method(experiment)
    space = {
        key: _domain(values, method == "grid") for key, values in experiment.sweep.space.items()
    }
    algorithm: Searcher | BasicVariantGenerator
    if method == "optuna":
        # Imported here: most studies have no need of it.
        import optuna
        from ray.tune.search.optuna import OptunaSearch

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        algorithm = OptunaSearch(seed=experiment.seed)
    else:
        algorithm = BasicVariantGenerator(random_state=experiment.seed)
    scheduler = None
    if experiment.sweep.search.asha:
        scheduler = ASHAScheduler(
            time_attr="percent",
            max_t=100,
            grace_period=GRACE_PERCENT,
            reduction_factor=REDUCTION,
        )
    scaling = execution.trials
    tune.Tuner(
        tune.with_resources(
            tune.with_parameters(_try_settings, shared=shared), execution.trial_resources()
        ),
        param_space={"settings": space},
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=1 if method == "grid" else experiment.sweep.search.samples,
            search_alg=algorithm,
            scheduler=scheduler,
            max_concurrent_trials=execution.concurrent_trials,
            reuse_actors=scaling.workers == 1,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=execution.storage,
            callbacks=[recorder],
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            verbose=0,
        ),
    ).fit()


class _Recorder(tune.Callback):  # type: ignore[misc]
    """Keeps every candidate the moment that it ends."""

    def __init__(
        self, folder: Path, on_candidate: Callable[[Candidate], None], total: int, bar: Any
    ) -> None:
        self.folder = folder
        self.on_candidate = on_candidate
        self.total = total
        self.bar = bar
        self.candidates: list[Candidate] = []
        self.curves: dict[str, list[dict[str, Any]]] = {}
        self.lost: list[str] = []

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        del iteration, trials, info
        if "point" in result:
            self.curves.setdefault(trial.trial_id, []).append(result["point"])

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        settings = _plain(trial.config["settings"])
        name = f"search-{_key(settings)[:8]}"
        if "ended" in trial.last_result:
            candidate = Candidate(name, settings, **trial.last_result["ended"])
        else:
            curve = tuple(self.curves.get(trial.trial_id, ()))
            accuracy = float(trial.last_result["accuracy"])
            candidate = Candidate(name, settings, "stopped", accuracy, curve=curve)
        write_json(self.folder / f"{_key(settings)}.json", asdict(candidate))
        self.candidates.append(candidate)
        self.on_candidate(candidate)
        logger.info(
            "search: %*d/%d %s: %s",
            len(str(self.total)),
            len(self.candidates),
            self.total,
            describe(settings),
            f"failed: {candidate.reason}"
            if candidate.accuracy is None
            else f"{100 * candidate.accuracy:.2f} % of the held-out images"
            + (", stopped early" if candidate.status == "stopped" else ""),
        )
        self.bar.update()

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        error = trial.get_pickled_error()
        self.lost.append(str(error).strip().splitlines()[-1] if error else "no reason given")


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as Python's own numbers and words."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in settings.items()}


def _key(settings: Mapping[str, Any]) -> str:
    return digest({"settings": settings})


def _try_settings(config: dict[str, Any], shared: tuple[Any, ...]) -> None:
    """Train a candidate and report it; a training that fails by itself is a result as well."""
    experiment, dataset_ref, rows_ref, execution, known = shared
    settings = _plain(config["settings"])
    before = known.get(_key(settings))
    if before is not None:
        _report_again(before)
        return
    try:
        ended = _train(experiment, settings, dataset_ref, rows_ref, execution)
    except (TrainingError, DataError, ConfigError, ValueError) as error:
        ended = {"status": "failed", "reason": str(error)}
    tune.report({"accuracy": ended.get("accuracy", 0.0), "percent": 100, "ended": ended})


def _report_again(before: Mapping[str, Any]) -> None:
    """Report a candidate of an earlier run, which may be stopped where it was then."""
    for point in before["curve"][:-1] if before["status"] == "finished" else before["curve"]:
        if point["test_accuracy"] is not None:
            percent = point.get("percent", 100)
            tune.report({"accuracy": point["test_accuracy"], "percent": percent, "point": point})
    names = ("status", "accuracy", "train_seconds", "reason", "curve")
    ended = {name: before[name] for name in names}
    tune.report({"accuracy": before["accuracy"] or 0.0, "percent": 100, "ended": ended})


def _train(
    experiment: Experiment,
    settings: Mapping[str, Any],
    dataset_ref: ray.ObjectRef[Dataset],
    rows_ref: ray.ObjectRef[NDArray[np.int64]],
    execution: Execution,
) -> dict[str, Any]:
    chosen = experiment.with_settings(settings)
    dataset, rows = ray.get([dataset_ref, rows_ref])
    recipe = chosen.train
    if experiment.sweep.search.asha:
        epochs = recipe.steps * recipe.batch_size / len(rows)
        recipe = recipe.model_copy(update={"evaluate_every": max(1, round(epochs / EVALUATIONS))})
    task = Task.for_dataset(chosen.model, dataset, recipe, chosen.seed)
    run_name = f"search-{_key(settings)}"
    scaling, storage = execution.trials, execution.storage
    if scaling.workers > 1:
        trained = train_with_ray(task, dataset_ref, rows_ref, scaling, storage, run_name)
        return _ended(trained.test_accuracy, trained.train_seconds, trained.curve, recipe.steps)

    def report(point: Point) -> None:
        if point.test_accuracy is not None and point.step < recipe.steps:
            (known,) = _points([point], recipe.steps)
            tune.report(
                {"accuracy": point.test_accuracy, "percent": known["percent"], "point": known}
            )

    torch.set_num_threads(scaling.threads)
    worker = Worker(torch.device("cuda" if scaling.gpu else "cpu"))
    if judged_fraction(experiment) < 1:
        rows = _semantic_subset(chosen, task, dataset, rows, worker)
    checkpoints = Checkpoints(storage, run_name)
    outcome = train_model(
        task,
        dataset,
        rows,
        report,
        save=checkpoints.save,
        worker=worker,
        resume=checkpoints.load(),
    )
    checkpoints.remove()
    return _ended(outcome.test_accuracy, outcome.train_seconds, outcome.curve, recipe.steps)


def judged_fraction(experiment: Experiment) -> float:
    """Return the share of the images that candidates are trained on, but for those held out.

    All, unless the linkage is searched for, which makes a difference to semantic subsets only.
    """
    linkage = any(key.startswith("linkage.") for key in experiment.sweep.space)
    return min(experiment.sweep.fractions) if linkage else 1.0


def _semantic_subset(
    chosen: Experiment, task: Task, dataset: Dataset, rows: NDArray[np.int64], worker: Worker
) -> NDArray[np.int64]:
    """Return what the study would keep of `rows` at its smallest fraction."""
    reference = train_model(task, dataset, rows, worker=worker)
    x_ND = embed_images(reference.model, dataset.train, worker.device)[rows]
    labels = dataset.train.labels[rows]
    members = [np.flatnonzero(labels == label) for label in range(len(dataset.classes))]
    counts = [kept_images(len(places), judged_fraction(chosen)) for places in members]
    trees = linkage_trees(
        x_ND,
        members,
        counts,
        method=chosen.linkage.method,
        backend=chosen.linkage.backend,
        settings=EngineSettings(device=worker.device.type),
    )
    kept = [
        places[representatives(x_ND[places], tree.labels(count))]
        for places, tree, count in zip(members, trees, counts, strict=True)
    ]
    return rows[np.sort(np.concatenate(kept))]


def _ended(accuracy: float, seconds: float, curve: Sequence[Point], steps: int) -> dict[str, Any]:
    return {
        "status": "finished",
        "accuracy": accuracy,
        "train_seconds": seconds,
        "curve": tuple(_points(curve, steps)),
    }


def _points(curve: Sequence[Point], steps: int) -> list[dict[str, Any]]:
    return [{**asdict(point), "percent": 100 * point.step / steps} for point in curve]

"""The search for settings, before the study: candidates tried with Ray Tune.

Every candidate is trained once, on the training images but for some of every class, which it is
judged by; where the linkage is searched for, on what its own semantic subset keeps of them. The
test split is not touched. Trials of the verdict have nothing to do with the search: they are all
trained to their end afterwards, with the settings found.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator
from ray.tune.search.searcher import Searcher

from rayred.config import Experiment
from rayred.data.dataset import Dataset
from rayred.errors import RayredError, TrainingError
from rayred.machines.layout import Execution
from rayred.machines.tune import run_trials
from rayred.progress import progress_bar
from rayred.search.results import Candidate, Found, describe, load_candidate
from rayred.search.trial import SearchInputs, hold_out, judged_fraction, train_candidate
from rayred.store import read_json, write_json
from rayred.training.checkpoints import Checkpoints
from rayred.training.on_ray import MAX_FAILURES

logger = logging.getLogger(__name__)

CANDIDATES = "search"
"""Folder within the run folder where every candidate is kept."""
GRACE_PERCENT = 20
"""Share of a training before which no candidate is stopped."""
REDUCTION = 3
"""Of so many candidates that get as far, one goes on."""
FEW_EPOCHS = 5
"""Candidates are judged at the end of epochs: with fewer, hardly any can be stopped early."""


@dataclass(frozen=True)
class _Search:
    """What the candidates' processes are given."""

    inputs: SearchInputs
    known: dict[str, Candidate]
    """Candidates of this or an earlier search, by key: they are not trained again."""


def search_settings(
    experiment: Experiment,
    dataset: Dataset,
    execution: Execution,
    folder: Path,
    name: str,
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
    name
        Name of this search, to tell its candidates in the folder from those of another.
    on_candidate
        Told of every candidate that has ended.

    Raises
    ------
    TrainingError
        No candidate was trained to the end.
    """
    settings = experiment.sweep.search
    held_out, rows = hold_out(dataset, settings.validation, experiment.seed)
    epochs = experiment.train.steps * experiment.train.batch_size / len(rows)
    if settings.asha and epochs < FEW_EPOCHS:
        logger.warning(
            "sweep.search.asha: candidates are judged at the end of epochs, and a training has"
            " %.1f: hardly any will be stopped early",
            epochs,
        )
    inputs = SearchInputs(experiment, ray.put(held_out), held_out.digest, ray.put(rows), execution)
    stored = {path.stem: read_json(path) for path in sorted(folder.glob("[!.]*.json"))}
    known = {key: load_candidate(one["candidate"]) for key, one in stored.items()}
    before = [known[key] for key, one in stored.items() if one["search"] == name]
    total = _count(experiment)
    if before:
        logger.info("search: %d of %d candidates are already done", len(before), total)
    names = {candidate.name for candidate in before}
    with progress_bar("search", "candidate", total, len(names)) as bar:
        recorder = _Recorder(inputs, known, folder, name, on_candidate, names, total, bar)
        _tune(_Search(inputs, known), before, recorder)
    if recorder.lost:
        raise RayredError(
            f"{len(recorder.lost)} of {total} candidates failed {MAX_FAILURES + 1} times; run again"
            f" to go on with them. First of them: {recorder.lost[0]}"
        )
    candidates = {candidate.name: candidate for candidate in (*before, *recorder.candidates)}
    finished = [c for c in candidates.values() if c.status == "finished" and c.accuracy is not None]
    if not finished:
        reasons = (candidate.reason for candidate in candidates.values() if candidate.reason)
        reason = next(reasons, "all were stopped early")
        raise TrainingError(f"search: no candidate was trained to the end: {reason}")
    best = min(finished, key=lambda candidate: (-(candidate.accuracy or 0.0), candidate.name))
    return Found(
        best.settings,
        best.accuracy or 0.0,
        judged_fraction(experiment),
        dict(experiment.sweep.space),
        tuple(candidates.values()),
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


def _optuna(seed: int, before: list[Candidate]) -> Searcher:
    """Return Ray's Optuna search, told of the candidates that there are."""
    # Imported here: most studies have no need of it.
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not before:
        return OptunaSearch(seed=seed)
    return OptunaSearch(
        # Not the seed of the first time, which would suggest the same candidates again.
        seed=seed + len(before),
        points_to_evaluate=[
            {f"settings/{key}": value for key, value in candidate.settings.items()}
            for candidate in before
        ],
        evaluated_rewards=[candidate.accuracy or 0.0 for candidate in before],
    )


def _tune(search: _Search, before: list[Candidate], recorder: _Recorder) -> None:
    experiment, execution = search.inputs.experiment, search.inputs.execution
    method = _method(experiment)
    samples = 1 if method == "grid" else experiment.sweep.search.samples
    algorithm: Searcher | BasicVariantGenerator
    if method == "optuna":
        samples -= len(before)
        if samples < 1:
            return
        algorithm = _optuna(experiment.seed, before)
    else:
        # The same candidates each time: those that are known end at once.
        algorithm = BasicVariantGenerator(random_state=experiment.seed)
    space = {
        key: _domain(values, method == "grid") for key, values in experiment.sweep.space.items()
    }
    scheduler = None
    if experiment.sweep.search.asha:
        scheduler = ASHAScheduler(
            time_attr="percent",
            max_t=100,
            grace_period=GRACE_PERCENT,
            reduction_factor=REDUCTION,
        )
    run_trials(
        "search",
        _try_settings,
        search,
        {"settings": space},
        execution,
        recorder,
        metric="accuracy",
        mode="max",
        num_samples=samples,
        search_alg=algorithm,
        scheduler=scheduler,
    )


class _Recorder(tune.Callback):  # type: ignore[misc]
    """Keeps every candidate the moment that it ends."""

    def __init__(
        self,
        inputs: SearchInputs,
        known: Mapping[str, Candidate],
        folder: Path,
        name: str,
        on_candidate: Callable[[Candidate], None],
        before: set[str],
        total: int,
        bar: Any,
    ) -> None:
        self.inputs = inputs
        self.known = known
        self.folder = folder
        self.name = name
        self.on_candidate = on_candidate
        self.before = before
        self.done = len(before)
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
        key = self.inputs.key(settings)
        name, result = f"search-{key[:8]}", trial.last_result
        if key in self.known:
            candidate = self.known[key]
        elif "ended" in result:
            candidate = Candidate(name, settings, **result["ended"])
        else:
            curve = tuple(self.curves.get(trial.trial_id, ()))
            accuracy = float(result["accuracy"])
            candidate = Candidate(name, settings, "stopped", accuracy, curve=curve)
            run_name = _run_name(key, trial.trial_id)
            Checkpoints(self.inputs.execution.storage, run_name).remove()
        content = {"search": self.name, "candidate": asdict(candidate)}
        write_json(self.folder / f"{key}.json", content)
        self.candidates.append(candidate)
        self.on_candidate(candidate)
        if candidate.name not in self.before:
            self.done += 1
            count = f"{self.done:{len(str(self.total))}}/{self.total}"
            logger.info("search: %s %s", count, describe_candidate(candidate))
            self.bar.update()

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        error = trial.get_pickled_error()
        self.lost.append(str(error).strip().splitlines()[-1] if error else "no reason given")


def describe_candidate(candidate: Candidate) -> str:
    """Return settings and outcome in one line."""
    if candidate.accuracy is None:
        return f"{describe(candidate.settings)}: failed: {candidate.reason}"
    accuracy = f"{100 * candidate.accuracy:.2f} % of the held-out images"
    early = ", stopped early" if candidate.status == "stopped" else ""
    return f"{describe(candidate.settings)}: {accuracy}{early}"


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as Python's own numbers and words."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in settings.items()}


def _run_name(key: str, trial_id: str) -> str:
    """Return the name of a candidate's checkpoints; a candidate may be drawn more than once."""
    return f"search-{key}-{trial_id.rpartition('_')[2]}"


def _try_settings(config: dict[str, Any], shared: _Search) -> None:
    """Train a candidate and report it."""
    settings = _plain(config["settings"])
    key = shared.inputs.key(settings)
    if key in shared.known:
        _report_again(shared.known[key])
        return
    ended = train_candidate(
        shared.inputs,
        settings,
        _run_name(key, tune.get_context().get_trial_id()),
        lambda accuracy, percent, point: tune.report(
            {"accuracy": accuracy, "percent": percent, "point": point}
        ),
    )
    tune.report({"accuracy": ended.get("accuracy", 0.0), "percent": 100, "ended": ended})


def _report_again(known: Candidate) -> None:
    """Report a candidate as when it was trained, so that others are compared with it."""
    for point in known.curve:
        if point["test_accuracy"] is not None:
            tune.report({"accuracy": point["test_accuracy"], "percent": point["percent"]})
    if known.accuracy is None:
        tune.report({"accuracy": 0.0, "percent": 100})

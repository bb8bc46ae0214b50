"""Trainings run by Ray Tune, several at a time, and their reports as they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import ray.util
from ray import cloudpickle, tune
from ray.tune.experiment import Trial as TuneTrial

from rayred.errors import RayredError
from rayred.machines.connect import MAX_FAILURES
from rayred.machines.failures import ray_reason
from rayred.machines.layout import Layout
from rayred.machines.probe import own_source
from rayred.machines.scaling import nodes_watched, requested

STOP_SECONDS = 5
"""How long to wait for Tune to stop; it never does if Ray's own processes were ended as well."""

Config = dict[str, Any]
Report = Callable[[dict[str, Any]], None]
"""Takes values of a training, ``{"accuracy": 0.9}``: any number of times while it runs."""
Train = Callable[[Config, Report], None]
"""Runs one training of a plan; sent to every node once, with all that it holds."""


@dataclass(frozen=True)
class Plan:
    """Trainings to run: one for each config of a search space."""

    unit: str
    """Name of one training in messages, such as trial."""
    total: int
    """How many the user sees, of which some may be done already."""
    space: Mapping[str, Any]
    """Tune's search space."""
    names: Callable[[Config], list[str]]
    """Return the names of the trainings of a config, as messages have them."""
    left: int = 1
    """How many Tune is to run."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Other arguments of `ray.tune.TuneConfig`, such as `scheduler`."""


@dataclass(frozen=True)
class Runner:
    """Ray Tune with the resources of a study's trials."""

    name: str
    """Name of Tune's folder in the study's storage."""
    layout: Layout
    max_failures: int = MAX_FAILURES
    """Times that a training is started again after its process or machine died."""


@dataclass(frozen=True)
class Ended:
    """A training that has ended."""

    config: Config
    trial_id: str
    """Tune's number of the training."""
    reports: tuple[dict[str, Any], ...]
    """All that it reported, in order."""
    running: int
    """Trainings that are still running."""


def run_trials(plan: Plan, train: Train, runner: Runner) -> Generator[Ended, None, None]:
    """Yield the trainings of a plan as they end.

    Trainings go on while the caller works on a result; they are stopped when the caller stops.

    Raises
    ------
    RayredError
        Trainings lost their process again and again; raised when all others have ended.
    """
    ended: SimpleQueue[Ended | BaseException | None] = SimpleQueue()
    recorder, layout, left = _Recorder(ended), runner.layout, plan.left
    thread = threading.Thread(target=_fit, args=(plan, train, runner, recorder), daemon=True)
    with (
        requested(layout.trial_bundle()) as ask,
        nodes_watched(lambda: _again(recorder.taken_restarts(), plan.unit)),
    ):
        ask(layout.trial_bundles(left))
        thread.start()
        try:
            while (item := ended.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                left = max(0, left - 1)
                ask(layout.trial_bundles(left))
                yield item
        finally:
            recorder.stopped = True
            thread.join(STOP_SECONDS)
    if recorder.lost:
        lost = [(name, error) for config, error in recorder.lost for name in plan.names(config)]
        name, error = lost[0]
        reason = ray_reason(error) if error else "no reason given"
        raise RayredError(
            f"{len(lost)} of {plan.total} {plan.unit}s failed {runner.max_failures + 1} times; run"
            f" again to go on with them. First of them: {name}: {reason}"
        ) from error


def _again(count: int, unit: str) -> str:
    if not count:
        return ""
    return (
        f"{count} {unit}{'s' if count > 1 else ''} start{'s' if count == 1 else ''} again elsewhere"
    )


def _fit(plan: Plan, train: Train, runner: Runner, recorder: _Recorder) -> None:
    """Run Tune to its end; what it raises goes to the caller of `run_trials`."""
    layout = runner.layout
    try:
        trainable = tune.with_resources(
            tune.with_parameters(_train_and_report, train=train, source=own_source()),
            layout.trial_resources(),
        )
        tune.Tuner(
            trainable,
            param_space=dict(plan.space),
            tune_config=tune.TuneConfig(
                max_concurrent_trials=layout.concurrent_trials,
                reuse_actors=layout.trials.workers == 1,
                **plan.options,
            ),
            run_config=tune.RunConfig(
                name=runner.name,
                storage_path=layout.storage,
                callbacks=[recorder],
                failure_config=tune.FailureConfig(max_failures=runner.max_failures),
                verbose=0,
            ),
        ).fit()
    except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
        if not recorder.stopped:
            recorder.ended.put(error)
    finally:
        recorder.ended.put(None)


def _train_and_report(config: Config, train: Train, source: str) -> None:
    if own_source() != source:
        address = ray.util.get_node_ip_address()
        raise RuntimeError(f"node {address} has another rayred: install the same on every node")
    train(config, tune.report)


class _Recorder(tune.Callback):  # type: ignore[misc] # Ray is not typed
    """Hands on every training the moment that it ends."""

    def __init__(self, ended: SimpleQueue[Ended | BaseException | None]) -> None:
        self.ended = ended
        self.lost: list[tuple[Config, BaseException | None]] = []
        self.stopped = False
        self._reports: dict[str, list[dict[str, Any]]] = {}
        """Reports of every training that runs."""
        self._restarts = 0

    def taken_restarts(self) -> int:
        """Return how many trainings were started again since this was last asked."""
        count, self._restarts = self._restarts, 0
        return count

    def __getstate__(self) -> dict[str, Any]:
        """Tune saves its callbacks, to go on by itself; rayred goes on by its own results."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        del iteration, trials, info
        if self.stopped:
            raise RuntimeError("stopped by the caller")

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        self._reports.setdefault(trial.trial_id, [])  # kept where it is started again

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        del iteration, trials, info
        self._reports[trial.trial_id].append(dict(result))

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        reports = self._reports.pop(trial.trial_id, [])
        ended = Ended(trial.config, trial.trial_id, tuple(reports), len(self._reports))
        self.ended.put(ended)

    def on_trial_recover(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, trial, info
        self._restarts += 1

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        del iteration, trials, info
        self._reports.pop(trial.trial_id, None)
        self.lost.append((trial.config, _error_of(trial)))


def _error_of(trial: TuneTrial) -> BaseException | None:
    """Return why a trial failed; Tune writes it here first, and into the storage later."""
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return cast("BaseException | None", trial.get_pickled_error())
    return cast("BaseException", cloudpickle.loads(Path(path).read_bytes()))

"""How Ray Tune runs the trials of a sweep or the candidates of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray import tune

from rayred.machines.layout import Execution
from rayred.training.on_ray import MAX_FAILURES


def run_trials(
    name: str,
    train: Callable[..., None],
    shared: Any,
    space: Mapping[str, Any],
    execution: Execution,
    recorder: tune.Callback,
    **choices: Any,
) -> None:
    """Call ``train(config, shared=shared)`` for every config of a space, several at a time.

    Parameters
    ----------
    name
        Of Tune's folder in the study's storage.
    train
        Reports to Tune. What dies of its machine is tried again, `MAX_FAILURES` times.
    shared
        What all calls are given; it is sent to every node once.
    space
        Tune's search space.
    execution
        Resources of a call, calls at a time, storage.
    recorder
        Told of every result the moment that it is there.
    choices
        Other arguments of `ray.tune.TuneConfig`, such as `scheduler`.
    """
    trainable = tune.with_resources(
        tune.with_parameters(train, shared=shared), execution.trial_resources()
    )
    tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(
            max_concurrent_trials=execution.concurrent_trials,
            reuse_actors=execution.trials.workers == 1,
            **choices,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=execution.storage,
            callbacks=[recorder],
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            verbose=0,
        ),
    ).fit()

"""Ray Train in its thread: what it waits for is said, and it ends when its caller does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from rayred.data import load_dataset
from rayred.errors import TrainingError
from rayred.machines.connect import Cluster
from rayred.machines.layout import Scaling
from rayred.training import on_ray
from tests.training.examples import task


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Ctrl-C is not ignored, as it is in a shell's background jobs, such as these tests may be."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Trainer:
    """Does something in the place of Ray Train."""

    def __init__(self, fit: Callable[[], Any]) -> None:
        self.fit = fit


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_result_and_errors_are_those_of_the_trainer():
    def fail() -> None:
        raise TrainingError("the loss is nan")

    threads = []
    trainer = Trainer(lambda: threads.append(threading.current_thread()) or "trained")
    assert on_ray._fit(trainer, "reference", Scaling(), None) == "trained"
    assert threads != [threading.main_thread()]  # in which Ray would set a handler of Ctrl-C
    with pytest.raises(TrainingError, match="nan"):
        on_ray._fit(Trainer(fail), "reference", Scaling(), None)


def test_caller_is_interrupted_though_a_training_does_not_end(monkeypatch):
    monkeypatch.setattr(on_ray, "END_SECONDS", 0.1)
    go = threading.Event()

    def fit() -> None:
        interrupt()
        go.wait(60)

    with pytest.raises(KeyboardInterrupt):
        on_ray._fit(Trainer(fit), "reference", Scaling(), None)
    go.set()


def test_what_a_training_waits_for_is_said(cluster: Cluster, caplog, monkeypatch):
    monkeypatch.setattr(on_ray, "WAIT_SECONDS", 0.05)

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records]

    def fit_on(scaling: Scaling, condition: Callable[[], bool]) -> None:
        on_ray._fit(Trainer(lambda: until(condition)), "reference", scaling, None)

    begun = time.monotonic()
    enough = Scaling(workers=2, cpus=cluster.cpus, min_workers=1)
    fit_on(enough, lambda: time.monotonic() > begun + 1)
    assert not lines()
    fit_on(replace(enough, min_workers=2), lambda: len(lines()) > 1)
    assert set(lines()) == {"reference: waits for 2 workers; the cluster has room for 1"}


def test_training_that_is_interrupted_ends_on_ray_too(cluster: Cluster, tmp_path: Path):
    data = ray.put(load_dataset("digits")), ray.put(np.arange(200))
    endless = task(steps=10**6, checkpoint_steps=10)
    newest = tmp_path / "reference" / "training.pt"

    def watch() -> None:
        until(newest.exists)
        interrupt()

    thread = threading.Thread(target=watch)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        on_ray.train_with_ray(endless, *data, Scaling(), str(tmp_path), "reference")
    thread.join()
    until(lambda: ray.available_resources().get("CPU") == cluster.cpus)
    last = newest.stat().st_mtime_ns
    time.sleep(1)
    assert newest.stat().st_mtime_ns == last

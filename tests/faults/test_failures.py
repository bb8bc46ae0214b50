"""What fails elsewhere: one sentence, exit code 1, and the trace in a file that it names."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray
from ray.exceptions import OutOfMemoryError, RayError
from ray.tune import TuneError

from rayred.clustering.on_ray import RayMap
from rayred.data.dataset import Dataset
from rayred.errors import DataError, MachineError, RayredError
from rayred.machines.failures import RAY_LOG, ray_failures
from rayred.machines.layout import Layout, Scaling
from rayred.machines.tune import Plan, Runner, run_trials
from rayred.training.on_ray import train_with_ray
from tests.conftest import rayred_here
from tests.data.examples import write_images
from tests.training.examples import task

NAMED = re.compile(r"; its whole trace is in (\S+\.log)")


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_task(function: Callable[..., Any], **options: Any) -> Any:
    return ray.get(ray.remote(function).options(max_retries=0, **options).remote())


def in_an_actor(function: Callable[[Any], Any]) -> None:
    with RayMap(Scaling()) as map:
        list(map(function, [1]))


def not_made() -> None:
    class Broken:
        def __init__(self) -> None:
            raise RuntimeError("no room\nfor it")

        def call(self) -> None: ...

    ray.get(ray.remote(Broken).options(num_cpus=0).remote().call.remote())


def nested() -> None:
    def outer() -> None:
        def inner() -> None:
            raise KeyError("colour")

        ray.get(ray.remote(inner).options(num_cpus=0).remote())

    in_a_task(outer)


def lack(_: Any) -> None:
    raise KeyError("colour")


def told(folder: Path, work: Callable[[], Any]) -> tuple[str, str]:
    """The message of some work that fails, and the trace that it names."""
    with pytest.raises(MachineError) as failure, ray_failures(folder):
        work()
    message = str(failure.value)
    assert "\n" not in message
    assert failure.value.exit_code == 1
    named = Path(NAMED.search(message)[1])
    assert named.parent == folder
    return message, named.read_text()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: in_a_task(lambda: lack(1)), "Ray: KeyError: 'colour';"),
        (lambda: in_an_actor(lack), "Ray: KeyError: 'colour';"),
        (nested, "Ray: KeyError: 'colour';"),
        (lambda: in_a_task(die), "Ray: The worker died unexpectedly"),
        (lambda: in_an_actor(die), "Ray: The actor died unexpectedly"),
        (not_made, "Ray: for it;"),
    ],
)
def test_what_ray_raises_is_told_in_a_line(tmp_path, capfd, work, said):
    message, trace = told(tmp_path / "logs", work)
    assert message.startswith(said)
    assert "Traceback" in trace
    assert said.removeprefix("Ray: ").rstrip(";") in trace
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err
    assert "(raylet)" not in printed.out + printed.err


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("Little memory.\nTo turn this off, ..."),
        TuneError("gone"),
        RayError("x\ny"),
    ],
)
def test_every_kind_of_error_of_ray_is_told(tmp_path, error):
    def work() -> None:
        raise error

    message, trace = told(tmp_path / "logs", work)
    assert str(error).splitlines()[0] in message
    assert str(error).splitlines()[-1] in trace


@pytest.mark.usefixtures("cluster")
def test_an_error_of_rayred_in_a_task_is_raised_as_it_is(tmp_path):
    def work() -> None:
        raise DataError("pets/a.png: cannot be read")

    with pytest.raises(DataError) as failure, ray_failures(tmp_path / "logs"):
        in_a_task(work)
    assert str(failure.value) == "pets/a.png: cannot be read"
    assert not (tmp_path / "logs").exists()


def layout(storage: Path) -> Layout:
    one = Scaling()
    return Layout(one, one, one, one, 1, 1, 1, str(storage))


@pytest.mark.usefixtures("cluster")
def test_trials_that_lose_their_process_are_told_and_logged(tmp_path, capfd):
    plan = Plan("trial", 1, {"x": 1}, lambda _: ["full-1.0-0"])
    runner = Runner("sweep", layout(tmp_path / "ray"), max_failures=0)
    message, _ = told(tmp_path / "logs", lambda: list(run_trials(plan, die, runner)))
    assert message.startswith("1 of 1 trials failed 1 times; run again to go on with them.")
    assert "Traceback" in (tmp_path / "logs" / RAY_LOG).read_text()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.usefixtures("cluster")
def test_a_training_that_is_given_up_is_told(tmp_path):
    class Broken(Dataset):
        def __init__(self) -> None:
            pass  # no images: no worker can use it

    def work() -> None:
        data = ray.put(Broken()), ray.put(np.arange(4))
        train_with_ray(task(), *data, Scaling(), str(tmp_path), "reference")

    message, trace = told(tmp_path / "logs", work)
    assert message.startswith("reference: given up: ")
    assert "Traceback" in trace


@pytest.mark.usefixtures("cluster")
def test_a_command_names_the_trace_in_its_run_folder(tmp_path, monkeypatch):
    write_images(tmp_path / "pets" / "cat", 4, size=(8, 8))
    grow = "rayred.pruning.choosing.grow_trees"
    monkeypatch.setattr(grow, lambda *_, map, **__: list(map(lack, [1])))
    np.save(tmp_path / "e.npy", np.eye(4))
    done = rayred_here(
        "prune", f"folder:{tmp_path / 'pets'}", "--keep", "0.5", "--embeddings",
        tmp_path / "e.npy", "--out", tmp_path / "small",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("rayred: Ray: KeyError: 'colour'; its whole trace is in ")
    assert done.stderr.count("\n") == 1
    assert Path(NAMED.search(done.stderr)[1]).parent == tmp_path / "small" / "logs"


def test_what_rayred_does_not_expect_is_a_sentence_as_well(tmp_path, monkeypatch):
    def breaks(_: Path) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("rayred.review.results", breaks)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = rayred_here("results", tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("rayred: unexpected ZeroDivisionError: division by zero; ")
    assert "in breaks" in Path(NAMED.search(done.stderr)[1]).read_text()


def test_a_trace_that_cannot_be_written_is_told_too(tmp_path, monkeypatch):
    monkeypatch.setattr("rayred.review.results", lambda _: 1 // 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    done = rayred_here("results", tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("; its trace cannot be written: No such file or directory\n")


WORKS = """
import sys, time
from rayred.command import run_command, say
from rayred.machines.connect import connect
def command():
    with connect("local"):
        say("works")
        time.sleep(100)
sys.exit(run_command(command))
"""


@pytest.mark.slow
@pytest.mark.parametrize("server", ["raylet", "gcs_server"])
def test_a_server_of_ray_that_is_lost_on_this_machine_is_told(server):
    """Ray itself ends the process then, without a word."""
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    command = [sys.executable, "-c", WORKS]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "works\n"
        (one,) = [p for p in psutil.Process(process.pid).children() if p.name() == server]
        one.kill()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith(f"rayred: Ray's {server} on this machine has ended; ")
    assert "Traceback" not in said


def test_an_error_of_rayred_with_another_cause_is_left_alone(tmp_path):
    with pytest.raises(RayredError, match=r"^full$"), ray_failures(tmp_path / "logs"):
        raise RayredError("full") from OSError("disk")
    assert not (tmp_path / "logs").exists()

"""One tiny study, run once through the real command line, that many tests look at."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import ray
import yaml
from filelock import FileLock

from rayred.cli import main
from rayred.machines.connect import Cluster, connect

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

TINY = {
    "name": "tiny",
    "dataset": "digits",
    "model": "resnet8",
    "train": {
        "steps": 30,
        "batch_size": 64,
        "augment": {"crop": "pad", "pad": 1, "flip": False},
    },
    "sweep": {"fractions": [1.0, 0.5], "selectors": ["semantic", "random"], "trials": 2},
    "verdict": {"margin": 5.0},
}


def rayred(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the real command line."""
    environment = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI",)}
    return subprocess.run(
        [sys.executable, "-m", "rayred", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment | settings,
        check=False,
    )


def rayred_here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, which has imported all that it needs already.

    What needs Ray needs the fixture `cluster`. Messages of the log are found in `caplog`.
    """
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # of argparse
            code = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def write_experiment(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


def descendants(root: int) -> list[int]:
    """All processes that `root` started, and theirs."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except OSError:
                continue
            children.setdefault(int(parent), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        waiting += (new := children.get(waiting.pop(), []))
        found += new
    return found


def kill_all(root: int) -> None:
    """Kill -9 a process and all that it started."""
    for pid in [root, *descendants(root)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests for two processes, of which each begins with one half of them.

    First in one half are the tests that look at the finished study, first in the other those that
    need Ray alone: no process waits for the other to make the study. Quick tests come last in both:
    a process that is done takes them over, and makes no fixture again that takes long.
    """
    study, needs_ray, quick = [], [], []
    for item in items:
        uses = set(getattr(item, "fixturenames", ()))
        slow = item.get_closest_marker("slow") is not None or "cluster" in uses
        (study if "finished" in uses else needs_ray if slow else quick).append(item)
    first = max(0, len(items) // 2 - len(study))
    items[:] = [*study, *quick[:first], *needs_ray, *quick[first:]]


@pytest.fixture(scope="session")
def finished(
    cluster: Cluster,  # noqa: ARG001 - needed for its Ray
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str]:
    """A finished run folder that is not to be changed, and what the command printed."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # shared by the processes that run the tests: the first one makes it
    folder, printed = root / "study" / "run", root / "study" / "printed"
    with FileLock(root / "study.lock"):
        if not printed.exists():
            folder.parent.mkdir(exist_ok=True)
            done = rayred("run", write_experiment(root / "tiny.yaml"), "--out", folder)
            assert done.returncode == 0, done.stderr
            printed.write_text(done.stdout)
    return folder, printed.read_text()


@pytest.fixture
def run_folder(finished: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of the finished run folder."""
    shutil.copytree(finished[0], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Ray of the tests' own on this machine, for commands that they run as well."""
    with pytest.MonkeyPatch.context() as patch:
        # A process less for each Ray Train: no cloud takes this machine away.
        patch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        patch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")  # seconds; 10 by default
        with connect("local") as here:
            patch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
            yield here


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """A real browser."""
    from tests.chromium import chromium

    with chromium() as driver:
        yield driver

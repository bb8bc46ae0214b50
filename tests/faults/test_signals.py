"""SIGTERM and SIGHUP end a command as Ctrl-C does, wherever it stands."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from rayred.command import run_command
from rayred.errors import TrainingError
from rayred.interrupts import SIGNALS, uninterrupted
from rayred.machines.watching import _signals_noted
from rayred.results.trial import Trial, TrialResult
from rayred.store import open_store
from rayred.tracking.client import create_store
from rayred.tracking.tracker import Tracker
from tests.conftest import descendants, write_experiment
from tests.tracking.writers import DATASET

SENTENCE = "rayred: interrupted; the same command goes on from here\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_ends_with_the_code_of_the_signal(capsys, number):
    before = signal.getsignal(number)
    ends: list[str] = []

    def command() -> int:
        try:
            os.kill(os.getpid(), number)
            return 0
        finally:
            os.kill(os.getpid(), number)  # timeout(1) sends it twice
            ends.append("came to its end")

    assert run_command(command) == 128 + number
    assert capsys.readouterr().err == SENTENCE
    assert ends == ["came to its end"]
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    "outcome", [TrainingError("a worker is gone"), ValueError("unexpected"), 1], ids=str
)
def test_what_fails_after_a_signal_fails_by_it(capsys, outcome):
    """Libraries turn an interrupt into an error of theirs."""

    def command() -> int:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert run_command(command) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == SENTENCE


class Collected:
    """Is told to end where Python drops what is raised."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_that_python_drops_comes_again(capsys, number):
    def command() -> int:
        Collected(number)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            time.sleep(0.01)
        return 0

    assert run_command(command) == 128 + number
    assert capsys.readouterr().err == SENTENCE


def test_what_python_drops_besides_is_left_to_it(capsys, monkeypatch):
    dropped: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: dropped.append(str(one.exc_value)))

    class Faulty:
        def __del__(self) -> None:
            raise ValueError("in collecting")

    assert run_command(lambda: bool(Faulty()) - 1) == 0
    assert dropped == ["in collecting"]
    assert capsys.readouterr().err == ""


def test_a_command_that_comes_to_its_end_in_spite_of_a_signal_is_done(capsys):
    def command() -> int:
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        return 0

    assert run_command(command) == 0
    assert capsys.readouterr().err == ""


def test_that_a_process_is_told_to_end_is_known_before_its_handlers_run():
    """A call that does not return, such as a long one into Ray, keeps the handlers waiting."""
    heard: list[int] = []
    told: list[bool] = []

    def tell() -> None:
        told.append(noted())
        os.kill(os.getpid(), signal.SIGTERM)
        until = time.monotonic() + 30
        while not (now := noted()) and time.monotonic() < until:
            time.sleep(0.01)
        told.append(now)

    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with _signals_noted() as noted:
            other = threading.Thread(target=tell)
            other.start()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**6)  # some tenths of a second, not in Python
            other.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [False, True]
    assert heard == [signal.SIGTERM]


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup(1) does
    try:
        assert run_command(lambda: os.kill(os.getpid(), signal.SIGHUP) or 0) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_handler_that_was_not_set_in_python_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda _: None)
    assert run_command(lambda: 0) == 0


@pytest.fixture
def heeded() -> Iterator[None]:
    """Ctrl-C is not ignored, as it is in a shell's background jobs, such as these tests may be."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_work_that_must_not_be_cut_comes_to_its_end_first(number):
    did: list[str] = []
    heard: list[int] = []

    def command() -> int:
        try:
            with uninterrupted():
                os.kill(os.getpid(), number)
                did.append("work")
            did.append("more")
        except KeyboardInterrupt:
            heard.append(number)
        with uninterrupted():
            did.append("work again")
        return 0

    before = [signal.getsignal(one) for one in (signal.SIGINT, *SIGNALS)]
    run_command(command)
    assert heard == [number]
    assert did == ["work", "work again"]
    assert [signal.getsignal(one) for one in (signal.SIGINT, *SIGNALS)] == before


def test_other_threads_than_the_first_hold_nothing_back():
    def work() -> str:
        with uninterrupted():
            return "done"

    with ThreadPoolExecutor(1) as other:
        assert other.submit(work).result() == "done"


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("statement", [1, 2, 5, 9, 14, 20])
def test_what_is_sent_to_a_database_is_whole_or_not_sent(tmp_path, statement):
    """Interrupted in a write, the database was locked, and the study's run stayed RUNNING."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with open_store(tmp_path / "run", make=True) as store:
        store.begin("study")
        tracker = Tracker(uri, "rayred", store, "run", {})
        tracker.start(DATASET)
        left = [statement]

        def interrupt(*_: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGINT)

        event.listen(Engine, "before_cursor_execute", interrupt)
        point = {"step": 10, "epoch": 1.0, "train_loss": 0.5, "lr": 0.1, "test_accuracy": 0.9}

        def log_trials() -> None:
            for n in range(9):
                trial = Trial("semantic", 0.9, n, n, "semantic-0.9")
                tracker.log_trial(TrialResult(trial, 100, "finished", 0.9, 1.0, curve=(point,)))

        try:
            with pytest.raises(KeyboardInterrupt):
                log_trials()
        finally:
            event.remove(Engine, "before_cursor_execute", interrupt)
        tracker.fail()
    assert tracker.failure is None
    runs = create_store(uri).search_runs(["1"])
    statuses = {run.info.run_id: run.info.status for run in runs}
    assert statuses.pop(tracker.run_id) == "FAILED"
    assert set(statuses.values()) == {"FINISHED"}


def ended(
    command: list[str], reached: Callable[[int], bool], *, whole_group: bool
) -> tuple[int, str, list[int]]:
    """Start a command, send SIGTERM when it has got so far; code, messages, processes left."""
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 240
    while not reached(process.pid):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    started = descendants(process.pid)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=100)
    until = time.monotonic() + 30
    while (left := [pid for pid in started if is_alive(pid)]) and time.monotonic() < until:
        time.sleep(0.2)
    return process.returncode, said, left


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_run_in_its_sweep_is_ended_with_all_that_it_started(tmp_path, whole_group):
    study = write_experiment(tmp_path / "tiny.yaml", train={"steps": 5, "batch_size": 64})
    command = [sys.executable, "-m", "rayred", "run", str(study), "--out", str(tmp_path / "run")]
    code, said, left = ended(
        command,
        lambda _: any((tmp_path / "run" / "made").glob("trial-*")),
        whole_group=whole_group,
    )
    assert code == 143, said
    assert said.endswith(SENTENCE)
    assert "Traceback" not in said
    assert "SIGTERM" not in said
    assert not left

    client = create_store(f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("rayred").experiment_id])
    (study_run,) = [run for run in runs if "rayred.trial" not in run.data.tags]
    assert study_run.info.status == "FAILED"


GROUPS = """
import os, psutil
from rayred.machines.connect import connect
with connect():
    for one in psutil.Process().children(recursive=True):
        print(one.name(), os.getpgid(one.pid) == os.getpgid(0))
"""


@pytest.mark.slow
def test_a_signal_to_the_process_group_does_not_reach_rays_servers():
    """Their end ends this process silently, at once and with code 1."""
    told = subprocess.run(
        [sys.executable, "-c", GROUPS],
        env={k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
        capture_output=True, text=True, timeout=100, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert {"gcs_server False", "raylet False"} <= set(told)
    assert not [line for line in told if line.endswith("True")]


def starts_raylet(pid: int) -> bool:
    """Whether a process of Ray's is there: it has started some, and waits for others."""
    for child in descendants(pid):
        try:
            if "gcs_server" in Path(f"/proc/{child}/cmdline").read_text():
                return True
        except OSError:
            continue
    return False


@pytest.mark.slow
def test_a_command_that_starts_ray_leaves_nothing_half_started():
    command = [sys.executable, "-m", "rayred", "doctor"]
    code, said, left = ended(command, starts_raylet, whole_group=False)
    assert (code, said) == (143, SENTENCE)
    assert not left

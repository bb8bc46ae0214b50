"""Work that takes long says how far it is, where standard error is no terminal too."""

from __future__ import annotations

import io
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

import numpy as np
import pytest
import ray
from PIL import Image

from rayred import progress
from rayred.clustering.groups import redundant_groups
from rayred.config import Data
from rayred.data import load_dataset
from rayred.machines.layout import Scaling
from rayred.progress import _Lines, progress_bar
from rayred.training.on_ray import train_with_ray
from tests.training.examples import task

Said = Callable[[], list[str]]


@pytest.fixture
def said(monkeypatch, caplog) -> Said:
    """The lines of the log so far, of which one is due every hundredth of a second."""
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    caplog.set_level(logging.INFO, "rayred")
    return lambda: [record.getMessage() for record in caplog.records]


def wait_for(line: str, said: Said) -> None:
    until = time.monotonic() + 60
    while not any(re.search(line, one) for one in said()):
        assert time.monotonic() < until, said()
        time.sleep(0.01)


def test_lines_come_while_nothing_is_done_and_tell_what_is(said):
    with progress_bar("sweep", "trial", 31, 2) as bar:
        wait_for("^sweep: 2 of 31 trials$", said)
        bar.update(4)
        bar.set_postfix_str("1 running")
        wait_for("^sweep: 6 of 31 trials, .+ a (second|minute|hour), .+ left, 1 running$", said)
    count = len(said())
    time.sleep(0.1)
    assert len(said()) == count


def test_short_work_has_no_line(caplog):
    caplog.set_level(logging.INFO, "rayred")
    with progress_bar("sweep", "trial", 2) as bar:
        bar.update(2)
    assert not caplog.records
    assert progress.LINE_SECONDS <= 30


def test_work_that_fails_leaves_no_thread_that_goes_on(said):
    def fail() -> None:
        with progress_bar("sweep", "trial", 2):
            wait_for("^sweep: 0 of 2 trials$", said)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    count = len(said())
    time.sleep(0.1)
    assert len(said()) == count


@pytest.mark.parametrize(
    ("unit", "total", "done", "made", "seconds", "line"),
    [
        ("trial", 31, 2, 10, 200, "12 of 31 trials, 3 a minute, 6 min left"),
        ("image", 50_000, 0, 25_000, 10, "25,000 of 50,000 images, 2,500 a second, 10 s left"),
        ("class", 10, 0, 1, 7200, "1 of 10 classes, 0.5 an hour, 18 h 0 min left"),
        ("class", 10, 0, 10, 1, "10 of 10 classes, 10 a second, 0 s left"),
        ("class", 10, 5, 0, 60, "5 of 10 classes"),
        ("image", 0, 0, 0, 1, "0 of 0 images"),
    ],
)
def test_a_line_has_stage_done_of_rate_and_time_left(unit, total, done, made, seconds, line):
    lines = _Lines("work", unit, total, done)
    lines.update(made)
    assert lines.at(seconds) == f"work: {line}"


def test_a_terminal_has_a_bar_and_no_lines(said):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with redirect_stderr(Terminal()) as terminal, progress_bar("sweep", "trial", 2) as bar:
        bar.update()
        time.sleep(0.1)
    assert "sweep:   0%" in terminal.getvalue()
    assert not said()


@contextmanager
def every_update_waits_for_its_line(said: Said, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no work end before its line is there: a test of the line, not of the speed."""
    update = _Lines.update

    def waiting(lines: _Lines, n: int = 1) -> None:
        wait_for(f"^{lines.what}: ", said)
        update(lines, n)

    monkeypatch.setattr(_Lines, "update", waiting)
    yield
    monkeypatch.undo()


def test_images_that_are_read_and_classes_that_are_clustered_have_lines(
    said, monkeypatch, tmp_path
):
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        for number in range(2):
            place = tmp_path / split / "cat" / f"{number}.png"
            Image.new("RGB", (8, 8), (number, 0, 0)).save(place)
    with every_update_waits_for_its_line(said, monkeypatch):
        load_dataset(f"folder:{tmp_path}", Data(root=str(tmp_path / "root")))
        redundant_groups(np.eye(4), [0, 0, 1, 1], [0.5], device="cpu")
    stages = {line.partition(":")[0] for line in said()}
    assert {"reading images", "decoding images", "trees", "images"} <= stages


@pytest.mark.usefixtures("cluster")
def test_a_training_has_lines_with_its_steps(said, tmp_path: Path):
    digits = load_dataset("digits")
    data = ray.put(digits), ray.put(np.arange(200))
    train_with_ray(task(steps=400), *data, Scaling(), str(tmp_path), "reference")
    wait_for(r"^training: [\d,]+ of 25,600 images.*, step \d+ of 400, loss ", said)

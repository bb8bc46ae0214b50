import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from types import SimpleNamespace

import pytest
import torch

from rayred.training import Checkpoints, Worker, part_of_state
from rayred.training.checkpoints import ANNOUNCED_SECONDS, CheckpointClock
from rayred.training.worker import Shard
from tests.training.examples import task


def state(step: int) -> dict:
    pack = [{"model": {"weight": torch.full((2,), float(one))}} for one in range(3)]
    return {"step": step, "seconds": 6.0, "summed": 1, "pack": pack}


def test_checkpoint_is_replaced_loaded_and_removed(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), "training")
    assert checkpoints.load() is None
    checkpoints.save(state(3))
    checkpoints.save(state(6))
    checkpoints.finish()
    assert [path.name for path in (tmp_path / "training").iterdir()] == ["training.pt"]
    loaded = Checkpoints(f"file://{tmp_path}", "training").load()
    assert loaded["step"] == 6
    assert torch.equal(loaded["pack"][2]["model"]["weight"], torch.full((2,), 2.0))
    checkpoints.remove()
    checkpoints.remove()
    assert checkpoints.load() is None


class Slow:
    """A file system that waits before it puts a checkpoint into its place, and then may fail."""

    def __init__(self, files):
        self.files, self.asked, self.go, self.error = files, Event(), Event(), None
        self.create_dir, self.open_output_stream = files.create_dir, files.open_output_stream
        self.get_file_info = files.get_file_info

    def move(self, source, target):
        self.asked.set()
        assert self.go.wait(60)
        if self.error is not None:
            raise self.error
        self.files.move(source, target)


@pytest.fixture
def slow(tmp_path) -> Iterator[Checkpoints]:
    """Checkpoints of a training, at step 3, in a place that is slow."""
    checkpoints = Checkpoints(str(tmp_path), "training")
    checkpoints.save(state(3))
    checkpoints.finish()
    checkpoints.files = Slow(checkpoints.files)
    yield checkpoints
    checkpoints.files.go.set()


def stored(tmp_path) -> int:
    """The step of the checkpoint that another process, or this one started again, would load."""
    return Checkpoints(str(tmp_path), "training").load()["step"]


def test_training_goes_on_while_its_checkpoint_is_written(tmp_path, slow):
    later = state(6)
    slow.save(later)
    assert slow.files.asked.wait(60)
    assert stored(tmp_path) == 3
    later["pack"][2]["model"]["weight"] += 1  # as the next step does
    slow.files.go.set()
    slow.finish()
    loaded = Checkpoints(str(tmp_path), "training").load()
    assert loaded["step"] == 6
    assert torch.equal(loaded["pack"][2]["model"]["weight"], torch.full((2,), 2.0))


def test_one_checkpoint_is_written_at_a_time(tmp_path, slow):
    slow.save(state(6))
    with ThreadPoolExecutor(1) as training:
        second = training.submit(slow.save, state(9))
        assert slow.files.asked.wait(60)
        assert not wait([second], timeout=0.1).done
        slow.files.go.set()
        second.result()
    slow.finish()
    assert stored(tmp_path) == 9


@pytest.mark.parametrize("when", ["save", "finish", "load", "remove"])
def test_checkpoint_that_cannot_be_written_is_told_once_and_leaves_the_previous_one(
    tmp_path, slow, when
):
    slow.files.error = OSError("disk full\nat line 7")
    slow.files.go.set()
    slow.save(state(6))
    with pytest.raises(OSError, match=r"training\.pt: the checkpoint cannot be .+: disk full$"):
        slow.save(state(9)) if when == "save" else getattr(slow, when)()
    assert stored(tmp_path) == 3
    slow.files.error = None
    slow.save(state(12))
    slow.finish()
    assert stored(tmp_path) == 12


def test_part_of_a_pack_has_its_share_of_the_seconds():
    part = part_of_state(state(7), slice(1, None))
    assert (part["step"], part["seconds"], part["summed"]) == (7, 4.0, 1)
    assert [one["model"]["weight"][0] for one in part["pack"]] == [1, 2]


@pytest.fixture
def seconds(monkeypatch) -> SimpleNamespace:
    """What the clock shows."""
    shown = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: shown.now)
    return shown


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"checkpoint_minutes": 3 / 60}, [3, 6]),
        ({"checkpoint_minutes": 3 / 60, "checkpoint_steps": 4}, [3, 4, 7, 8]),
    ],
)
def test_checkpoints_are_due_by_minutes_and_by_steps(seconds, changes, expected):
    clock, due = CheckpointClock(task(**changes).recipe, Worker()), []
    for step in range(1, 9):
        seconds.now = step  # a step takes a second
        if clock.due(step):
            due.append(step)
    assert due == expected


def test_checkpoint_is_due_when_a_machine_is_announced_to_be_taken_away(seconds):
    announced = {6: "a", 7: "a", 13: "a and b"}
    known = SimpleNamespace(now=None)
    clock = CheckpointClock(task().recipe, Worker(announced=lambda: known.now))
    due = []
    for step in range(1, 41):
        seconds.now, known.now = step, announced.get(step, known.now)
        if clock.due(step):
            due.append(step)
    assert due == [10, 15]  # there is a look every five seconds
    assert ANNOUNCED_SECONDS == 5


def test_workers_look_for_announcements_at_the_same_steps(seconds):
    looks = []

    class OneOfTwo(Worker):
        def joined(self, values):
            return values + torch.tensor([0.0, seconds.now >= 25])  # the other one's clock

    worker = OneOfTwo(shard=Shard(0, 2), announced=lambda: looks.append(seconds.now))
    clock = CheckpointClock(task(checkpoint_minutes=60).recipe, worker)
    for step in range(1, 41):
        seconds.now = step / 8 if step < 25 else 25.0  # this one's has stopped
        assert not clock.due(step)
    assert looks == [25, 25]


def test_checkpoint_is_due_for_all_workers_if_it_is_for_one():
    class OneOfTwo(Worker):
        def joined(self, values):
            return values + torch.tensor([1.0, 0.0])  # the other worker's clock has run out

    clock = CheckpointClock(task(checkpoint_minutes=60).recipe, OneOfTwo(shard=Shard(0, 2)))
    assert [step for step in range(1, 31) if clock.due(step)] == [10, 20, 30]

import time
from types import SimpleNamespace

import pytest
import torch

from rayred.training import Checkpoints, Worker, part_of_state
from rayred.training.checkpoints import CheckpointClock
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
    assert [path.name for path in (tmp_path / "training").iterdir()] == ["training.pt"]
    loaded = Checkpoints(f"file://{tmp_path}", "training").load()
    assert loaded["step"] == 6
    assert torch.equal(loaded["pack"][2]["model"]["weight"], torch.full((2,), 2.0))
    checkpoints.remove()
    checkpoints.remove()
    assert checkpoints.load() is None


def test_interrupted_save_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    checkpoints = Checkpoints(str(tmp_path), "training")
    checkpoints.save(state(3))

    def breaks(source, target):
        raise OSError(f"{source} to {target}")

    monkeypatch.setattr(
        checkpoints,
        "files",
        SimpleNamespace(
            create_dir=checkpoints.files.create_dir,
            open_output_stream=checkpoints.files.open_output_stream,
            move=breaks,
        ),
    )
    with pytest.raises(OSError, match=r"training\.pt"):
        checkpoints.save(state(6))
    assert Checkpoints(str(tmp_path), "training").load()["step"] == 3


def test_part_of_a_pack_has_its_share_of_the_seconds():
    part = part_of_state(state(7), slice(1, None))
    assert (part["step"], part["seconds"], part["summed"]) == (7, 4.0, 1)
    assert [one["model"]["weight"][0] for one in part["pack"]] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"checkpoint_minutes": 3 / 60}, [3, 6]),
        ({"checkpoint_minutes": 3 / 60, "checkpoint_steps": 4}, [3, 4, 7, 8]),
    ],
)
def test_checkpoints_are_due_by_minutes_and_by_steps(monkeypatch, changes, expected):
    now = SimpleNamespace(seconds=0)
    monkeypatch.setattr(time, "monotonic", lambda: now.seconds)
    clock, due = CheckpointClock(task(**changes).recipe, Worker()), []
    for step in range(1, 9):
        now.seconds = step  # a step takes a second
        if clock.due(step):
            due.append(step)
    assert due == expected


def test_checkpoint_is_due_for_all_workers_if_it_is_for_one():
    class OneOfTwo(Worker):
        def mean(self, total, count):
            assert count == 1
            return (float(total) + 1) / 2  # the other worker's clock has run out

    clock = CheckpointClock(task(checkpoint_minutes=60).recipe, OneOfTwo(shard=Shard(0, 2)))
    assert [step for step in range(1, 31) if clock.due(step)] == [10, 20, 30]

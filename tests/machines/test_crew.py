"""Actors that join as the cluster grows, and whose work others take over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from ray.exceptions import RayActorError, RayTaskError

from rayred.machines import crew as crews
from rayred.machines.connect import Cluster
from rayred.machines.crew import Crew
from rayred.machines.layout import Scaling

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def crew() -> Iterator[Crew]:
    crew = Crew(Scaling())
    yield crew
    crew.end()


def done_by(crew: Crew, function, tasks) -> list:
    return sorted(crew.work(function, tasks, 0.1, lambda: None))


def test_actors_join_when_the_cluster_grows(crew, monkeypatch, tmp_path):
    rooms = [Cluster((1,), (0,)), Cluster((1, 1), (0, 0))]
    monkeypatch.setattr(crews, "GROW_SECONDS", 0.1)
    monkeypatch.setattr(
        crews, "describe_cluster", lambda: rooms.pop(0) if len(rooms) > 1 else rooms[0]
    )

    def waits_for_two(number: int) -> int:
        (tmp_path / str(os.getpid())).touch()
        deadline = time.monotonic() + 120
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        return number

    assert done_by(crew, waits_for_two, range(2)) == [0, 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_what_an_actor_that_died_was_doing_is_done_by_another(crew, tmp_path):
    def dies_once(number: int) -> int:
        marker = tmp_path / str(number)
        if number == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert done_by(crew, dies_once, range(4)) == [0, 1, 2, 3]
    assert crew.taken_restarts() == 1
    assert crew.taken_restarts() == 0


def test_a_task_that_always_kills_its_actor_is_given_up(crew, tmp_path):
    def dies(_: int) -> None:
        (tmp_path / str(os.getpid())).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RayActorError):
        done_by(crew, dies, [0])
    assert len(list(tmp_path.iterdir())) == crews.MOST_LOSSES + 1


def test_tasks_are_taken_as_actors_are_free_for_them(crew):
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    for count, _ in enumerate(crew.work(abs, tasks(), 0.1, lambda: None), 1):
        assert len(taken) <= count + os.cpu_count() + 1


def test_an_error_of_a_task_is_raised_and_the_crew_goes_on(crew):
    def fails(number: int) -> int:
        raise KeyError(number)

    with pytest.raises(RayTaskError):
        done_by(crew, fails, range(3))
    assert done_by(crew, abs, [-1]) == [1]

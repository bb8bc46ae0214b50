"""The map over Ray actors."""

import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from rayred.clustering import on_ray
from rayred.clustering.groups import redundant_groups
from rayred.clustering.on_ray import RayMap, check_backend
from rayred.config import Linkage
from rayred.errors import ConfigError
from rayred.machines.connect import Cluster
from rayred.machines.layout import Scaling

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture(scope="module")
def ray_map(cluster: Cluster) -> Iterator[RayMap]:  # noqa: ARG001 - needed for its Ray
    with RayMap(Scaling(workers=2)) as map:
        yield map


@pytest.mark.parametrize("method", ["complete", "average", "single"])
def test_actors_make_the_groups_of_one_process(method, ray_map):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 8)).astype(np.float32)
    labels = rng.integers(0, 5, 300)
    linkage = Linkage(method=method)
    here = redundant_groups(x, labels, [0.5, 0.8], linkage, device="cpu")
    there = redundant_groups(
        x, labels, [0.5, 0.8], linkage, map=ray_map, workers=2, device=ray_map.device
    )
    for ours, theirs in zip(there.trees.trees, here.trees.trees, strict=True):
        assert np.array_equal(ours.children, theirs.children)
        assert np.array_equal(ours.heights, theirs.heights)
    assert all(np.array_equal(there.kept[f], here.kept[f]) for f in (0.5, 0.8))


def test_more_tasks_than_actors_all_come_back_and_errors_of_the_data_are_raised(ray_map):
    def double(number):
        if number < 0:
            raise ValueError("row 1 is all zero")
        return 2 * number

    assert sorted(ray_map(double, range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert list(ray_map(double, [])) == []
    with pytest.raises(ValueError, match="row 1 is all zero"):
        list(ray_map(double, [1, -1]))


def test_an_actor_that_dies_is_replaced_and_its_task_done_again(ray_map, tmp_path):
    marker = tmp_path / "died"

    def dies_once(number):
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert sorted(ray_map(dies_once, range(4))) == [0, 1, 2, 3]
    assert marker.exists()


def test_cuml_without_a_gpu_or_rapids_names_what_to_install():
    linkage = Linkage(method="single", backend="cuml")
    with pytest.raises(ConfigError, match=r"no GPU for it.*pip install 'rayred\[rapids"):
        check_backend(linkage, Scaling())
    check_backend(Linkage(), Scaling())


def test_what_a_task_reports_is_shown_here_while_it_lasts(ray_map, monkeypatch, tmp_path):
    monkeypatch.setattr(on_ray, "REPORT_SECONDS", 0.1)
    shown = []
    seen = tmp_path / "seen"

    def works(report, number):
        deadline = time.monotonic() + 60
        while not seen.exists() and time.monotonic() < deadline:
            report(f"{number} of 7 merges")
            time.sleep(0.05)
        report("")
        return number

    def show(text):
        shown.append(text)
        if text:
            seen.touch()

    with ray_map.reports(show) as report:
        assert list(ray_map(partial(works, report), [3])) == [3]
    assert seen.exists()
    assert set(shown) <= {"3 of 7 merges", ""}
    shown.clear()
    assert list(ray_map(abs, [-1])) == [1]
    assert shown == []


def test_a_task_that_times_out_is_an_error_and_not_a_wait(ray_map):
    def times_out(_):
        raise TimeoutError("of the task")

    with ray_map.reports(print), pytest.raises(TimeoutError, match="of the task"):
        list(ray_map(times_out, [1]))

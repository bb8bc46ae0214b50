"""Clusters that grow and shrink: what they are asked for, and what is said, on described ones."""

from __future__ import annotations

import threading
import time

import pytest

from rayred.config import Resources
from rayred.machines import scaling
from rayred.machines.connect import Cluster
from rayred.machines.layout import Layout


def cluster_of(*gpus: int, own: bool = False) -> Cluster:
    return Cluster((8,) * len(gpus), gpus, own=own)


@pytest.fixture(autouse=True)
def foreign(monkeypatch):
    """The cluster was started by others."""
    monkeypatch.setattr(scaling, "is_own_ray", lambda: False)


@pytest.fixture
def asked(monkeypatch):
    """What the autoscaler was asked for, while one node with a GPU joins at every look."""
    asked, nodes = [], [0]

    def describe():
        nodes.append(1)
        return cluster_of(*nodes)

    monkeypatch.setattr(scaling, "LOOK_SECONDS", 0)
    monkeypatch.setattr(scaling, "describe_cluster", describe)
    monkeypatch.setattr(scaling, "request_resources", lambda bundles: asked.append(len(bundles)))
    return asked


@pytest.mark.parametrize("workers", [1, 3])
def test_the_gpus_of_one_training_are_waited_for(workers, asked):
    assert scaling.wait_for_gpus(cluster_of(0), "cuda", workers).gpus == workers
    assert asked == [workers, 0]


@pytest.mark.parametrize(
    ("cluster", "device"),
    [
        (cluster_of(0, 1, 1), "cuda"),
        (cluster_of(0), "auto"),
        (cluster_of(0, 1), "auto"),
        (cluster_of(0), "cpu"),
        (cluster_of(0, own=True), "cuda"),
    ],
)
def test_nothing_else_is_waited_for(cluster, device, asked):
    assert scaling.wait_for_gpus(cluster, device, 2) == cluster
    assert asked == []


def test_room_is_asked_for_as_it_is_needed_and_given_back(asked):
    with pytest.raises(ZeroDivisionError), scaling.requested({"CPU": 8, "GPU": 1}) as ask:  # noqa: PT012
        ask(4)
        ask(4)
        ask(1)
        raise ZeroDivisionError
    assert asked == [4, 1, 0]


def test_a_ray_of_this_process_is_asked_for_nothing(monkeypatch, asked):
    """Where all was told to end, its servers are gone: what is asked of them takes a minute."""
    monkeypatch.setattr(scaling, "is_own_ray", lambda: True)
    monkeypatch.setattr(scaling, "_alive", pytest.fail)
    with scaling.requested({"CPU": 8}) as ask, scaling.nodes_watched(str):
        ask(4)
    assert asked == []


def test_a_cluster_that_is_gone_holds_nothing_up(monkeypatch):
    gone = threading.Event()
    monkeypatch.setattr(scaling, "TAKE_BACK_SECONDS", 0.01)
    monkeypatch.setattr(scaling, "request_resources", lambda bundles: bundles or gone.wait(60))
    began = time.monotonic()
    with scaling.requested({"CPU": 8}) as ask:
        ask(4)
    gone.set()
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("resources", "trials", "bundle", "bundles"),
    [
        ({}, 30, {"CPU": 8.0, "GPU": 1.0}, 30),
        ({"concurrent_trials": 4}, 30, {"CPU": 8.0, "GPU": 1.0}, 4),
        ({"concurrent_trials": 4}, 2, {"CPU": 8.0, "GPU": 1.0}, 2),
        ({"trials_per_gpu": 4}, 30, {"CPU": 8.0, "GPU": 1.0}, 8),
        ({"workers": 2, "concurrent_trials": 1}, 30, {"CPU": 8.0, "GPU": 1.0}, 2),
        ({"device": "cpu"}, 30, {"CPU": 1.0}, 30),
    ],
)
def test_a_sweep_asks_for_the_nodes_that_its_trials_can_use(resources, trials, bundle, bundles):
    settings = Resources.model_validate(resources)
    layout = Layout.plan(settings, "auto", Cluster((8, 8, 8), (0, 1, 1), own=False), "/runs/a")
    assert layout.trial_bundle() == bundle
    assert layout.trial_bundles(trials) == bundles


def test_trials_run_wherever_there_is_room_unless_a_number_is_set():
    cluster = Cluster((8, 8), (1, 1), own=False)
    planned = {
        wanted: Layout.plan(
            Resources(concurrent_trials=wanted), "auto", cluster, "/runs/a"
        ).concurrent_trials
        for wanted in ("auto", 5)
    }
    assert planned == {"auto": None, 5: 5}
    # Trials of several workers only wait for them: all of them would start at once.
    assert Layout.plan(Resources(workers=2), "auto", cluster, "/runs/a").concurrent_trials == 1


def test_one_line_says_which_node_is_lost_and_what_that_costs(monkeypatch, caplog):
    caplog.set_level("INFO", "rayred")
    nodes = [{"a": "10.0.0.1", "b": "10.0.0.2"}, {"a": "10.0.0.1", "c": "10.0.0.3"}]
    looked = threading.Event()

    def alive():
        if len(nodes) > 1:
            return nodes.pop(0)
        looked.set()
        return nodes[0]

    monkeypatch.setattr(scaling, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(scaling, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(scaling, "_alive", alive)
    monkeypatch.setattr(scaling, "_warn_of", lambda _: None)
    with scaling.nodes_watched(lambda: "2 trials start again elsewhere"):
        assert looked.wait(60)
        while "joined" not in caplog.text:
            looked.wait(0.01)
    assert caplog.messages == [
        "node 10.0.0.2 lost; 2 trials start again elsewhere",
        "node 10.0.0.3 joined",
    ]

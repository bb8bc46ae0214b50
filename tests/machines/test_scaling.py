"""Waiting for nodes with GPUs, on a cluster that is only described."""

from __future__ import annotations

import pytest

from rayred.machines import scaling
from rayred.machines.connect import Cluster


def cluster_of(*gpus: int, own: bool = False) -> Cluster:
    return Cluster((8,) * len(gpus), gpus, own=own)


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

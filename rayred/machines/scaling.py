"""A cluster that grows and shrinks: what is asked of its autoscaler, and nodes that come and go."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError

from rayred.machines.connect import Cluster, describe_cluster, is_own_ray
from rayred.machines.nodes import look_at_nodes, problems_of

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Seconds between two looks at which nodes there are."""
SETTLE_SECONDS = 4.0
"""How long after a node was lost Ray may take to tell what ran on it."""
TAKE_BACK_SECONDS = 5.0
"""How long to wait while a request is taken back: a cluster that is gone never answers."""
SAY_SECONDS = 60.0
"""Seconds between two lines while nothing happens."""
MOST_BUNDLES = 1_000
"""Longest list that an autoscaler is sent."""


@contextmanager
def requested(bundle: Mapping[str, float]) -> Iterator[Callable[[int], None]]:
    """Ask the cluster's autoscaler for room, and take that back when the context ends.

    Without an autoscaler nothing happens; a Ray that this process has started has none.

    Parameters
    ----------
    bundle
        Resources that are needed together on one node, as ``{"CPU": 8, "GPU": 1}``.

    Yields
    ------
    ask
        To be called with the number of bundles that can be used at a time, as often as it changes.
    """
    asked = 0

    def ask(count: int) -> None:
        nonlocal asked
        count = min(count, MOST_BUNDLES)
        if count != asked:
            asked = count
            request_resources(bundles=[dict(bundle)] * count)

    if is_own_ray():
        yield lambda _: None
        return
    try:
        yield ask
    finally:
        taken_back = threading.Thread(target=_quietly, args=(lambda: ask(0),), daemon=True)
        taken_back.start()
        taken_back.join(TAKE_BACK_SECONDS)


def wait_for_gpus(cluster: Cluster, device: str, workers: int = 1) -> Cluster:
    """Wait until a cluster that may grow has the GPUs of one training, if it is to run on GPUs.

    Parameters
    ----------
    cluster
        What there is now.
    device
        The setting `resources.device`.
    workers
        The setting `resources.workers`: each needs a GPU.

    Returns
    -------
    cluster
        What there is then.
    """
    if cluster.own or device == "cpu" or cluster.gpus >= workers:
        return cluster
    if device == "auto":
        if not cluster.gpus:
            logger.warning(
                "no node of the cluster has a GPU now: trainings run on CPUs; to wait for nodes"
                " with GPUs, set resources.device to cuda"
            )
        return cluster
    said = -SAY_SECONDS
    with requested({"GPU": 1}) as ask:
        ask(workers)
        while cluster.gpus < workers:
            if time.monotonic() - said >= SAY_SECONDS:
                said = time.monotonic()
                logger.info(
                    "waiting for GPUs: %d nodes have %d, and a training needs %d; the cluster's"
                    " autoscaler, if there is one, was asked for them",
                    cluster.nodes,
                    cluster.gpus,
                    workers,
                )
            time.sleep(LOOK_SECONDS)
            cluster = describe_cluster()
    logger.info("nodes with GPUs have joined")
    return cluster


@contextmanager
def nodes_watched(consequence: Callable[[], str]) -> Iterator[None]:
    """Say which nodes are lost, and which join, while work is done on them.

    Parameters
    ----------
    consequence
        Returns what a loss means for the work, as in ``2 trials start again elsewhere``; called
        once for each lost node, when Ray has had the time to notice.
    """
    if is_own_ray():  # the only node is this machine
        yield
        return
    ended = threading.Event()
    known = _alive()

    def watch() -> None:
        nonlocal known
        while not ended.wait(LOOK_SECONDS):
            now = _alive()
            for node in known.keys() - now.keys():
                ended.wait(SETTLE_SECONDS)
                said = consequence()
                logger.warning("node %s lost%s", known[node], f"; {said}" if said else "")
            for node in now.keys() - known.keys():
                logger.info("node %s joined", now[node])
                _warn_of(now[node])
            known = now

    thread = threading.Thread(target=_quietly, args=(watch,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LOOK_SECONDS)


def _quietly(ask_ray: Callable[[], None]) -> None:
    with suppress(RayError, RuntimeError, ValueError):  # the connection has ended
        ask_ray()


def _alive() -> dict[str, str]:
    """Return the addresses of the nodes that are up, by Ray's number of each."""
    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


def _warn_of(address: str) -> None:
    """Say what is wrong with a node that has joined: what is sent there would fail."""
    for problem in problems_of(look_at_nodes(address=address)).get(address, []):
        logger.warning("node %s: %s", address, problem)

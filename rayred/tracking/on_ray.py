"""System metrics of all machines of the cluster: MLflow's monitor in an actor on each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayred.tracking.client import start_monitor
from rayred.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

STOP_SECONDS = 20


@contextmanager
def monitoring(tracker: Tracker, wanted: bool) -> Iterator[None]:
    """Log system metrics to the study's parent run while the context is open.

    Parameters
    ----------
    tracker
        Gives the store and the parent run. If the store is a database file, only this machine is
        logged, since the others cannot open the file.
    wanted
        The setting `tracking.system_metrics`.
    """
    if not wanted or tracker.failure is not None:
        yield
        return
    here = ray.get_runtime_context().get_node_id()
    everywhere = tracker.uri.startswith(("http:", "https:"))
    nodes = [node for node in ray.nodes() if node["Alive"]]
    actors = [
        _Monitor.options(  # type: ignore[attr-defined]
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(tracker.uri, tracker.run_id, node["NodeManagerHostname"])
        for node in nodes
        if everywhere or node["NodeID"] == here
    ]
    try:
        yield
    finally:
        stopped = [actor.finish.remote() for actor in actors]
        done, late = ray.wait(stopped, num_returns=len(stopped), timeout=STOP_SECONDS)
        try:
            ray.get(done)
        except RayError as error:
            logger.warning("system metrics: %s", str(error).strip().splitlines()[-1])
        if late:
            logger.warning("system metrics: %d machines did not stop in time", len(late))


@ray.remote(num_cpus=0)
class _Monitor:
    """Monitors the machine that it runs on."""

    def __init__(self, uri: str, run_id: str, node: str) -> None:
        self.monitor = start_monitor(uri, run_id, node)

    def finish(self) -> None:
        """Send the remaining metrics and stop."""
        self.monitor.finish()

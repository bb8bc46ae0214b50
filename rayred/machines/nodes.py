"""The nodes of a cluster one by one: what each is and has, and what would make a study fail."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from pyarrow import fs
from ray import cloudpickle
from ray.exceptions import RayError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rayred.buckets import shown_url
from rayred.errors import ConfigError
from rayred.machines import probe
from rayred.machines.failures import ray_reason

PROBE_SECONDS = 120
"""How long a node may take to answer: its first process has to start."""
CLOCK_SECONDS = 60
"""Difference of two clocks from which on buckets refuse requests or logs are out of order."""
GIB = 2**30

cloudpickle.register_pickle_by_value(probe)


@dataclass(frozen=True)
class Node:
    """A node of the cluster."""

    address: str
    """Its IP address."""
    host: str = ""
    rayred: str = ""
    """Version; empty where it is not installed."""
    source: str = ""
    """Digest of rayred's source there."""
    python: str = ""
    packages: Mapping[str, str] | None = None
    """Versions of what computes, by name."""
    gpus: tuple[str, ...] = ()
    driver: str = ""
    rapids: str = ""
    """Version of cuML; empty where it is not installed."""
    disk: int = 0
    """Free bytes where temporary files go."""
    memory: int = 0
    """Free bytes."""
    storage: str = ""
    """What is wrong with the storage there; empty where it can be written and read."""
    clock: float = 0.0
    """Seconds by which its clock is at least ahead of this machine's, or behind if negative."""
    failure: str = ""
    """Why it could not be looked at."""

    def describe(self) -> str:
        """Return what the node is in one line."""
        if self.failure:
            return self.failure
        packages = ", ".join(f"{name} {one}" for name, one in (self.packages or {}).items())
        gpus = ", ".join(self.gpus) or "no GPU"
        driver = f", driver {self.driver}" if self.driver else ""
        rapids = f", cuML {self.rapids}" if self.rapids else ""
        return (
            f"rayred {self.rayred or 'missing'} ({self.source or 'no source'}), Python"
            f" {self.python}, {packages}{rapids}, {gpus}{driver}, {self.disk / GIB:.0f} GiB of disk"
            f" and {self.memory / GIB:.0f} GiB of memory free"
        )


def look_at_nodes(storage: str | None = None, address: str | None = None) -> list[Node]:
    """Return all nodes that are up, by address, each looked at from a process on it.

    Parameters
    ----------
    storage
        Folder or URL that each node is to write, and to read what this machine has written.
    address
        IP address of the one node to look at.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]
    if address is not None:
        alive = [node for node in alive if node["NodeManagerAddress"] == address]
    with _written(storage) as written:
        asked = [_ask(node["NodeID"], storage, written) for node in alive]
        answers = [
            _answer(node["NodeManagerAddress"], *question)
            for node, question in zip(alive, asked, strict=True)
        ]
    found = [node for node in answers if node is not None]
    return sorted(found, key=lambda node: node.address)


def problems_of(nodes: Sequence[Node], storage: str | None = None) -> dict[str, list[str]]:
    """Return what would make a study fail, or its results differ by node: sentences by address.

    Parameters
    ----------
    nodes
        As `look_at_nodes` returns them.
    storage
        The place that they have tried.
    """
    own = probe.probe(None, None)
    shown = shown_url(storage)
    return {node.address: _problems(node, own, shown) for node in nodes}


def check_nodes(storage: str) -> None:
    """Refuse a cluster on which a study would fail, before it starts.

    Parameters
    ----------
    storage
        Folder or URL of checkpoints, which every node has to write and read.

    Raises
    ------
    ConfigError
        A node has no rayred, or another one, cannot reach the storage, or does not answer.
    """
    found = problems_of(look_at_nodes(storage), storage)
    lines = [f"node {address}: {one}" for address, each in found.items() for one in each]
    if lines:
        raise ConfigError("; ".join(lines))


def _problems(node: Node, own: Mapping[str, Any], storage: str) -> list[str]:
    if node.failure:
        return [node.failure]
    found = []
    if not node.rayred or not node.source:
        found.append("rayred is not installed for the Python that Ray runs there")
    elif (node.rayred, node.source) != (own["rayred"], own["source"]):
        theirs, ours = node.rayred, own["rayred"]
        which = f"{theirs} instead of {ours}" if theirs != ours else f"{theirs} with other source"
        found.append(f"has another rayred ({which}): install the same on every node")
    for name, ours in own["packages"].items():
        theirs = (node.packages or {}).get(name, "")
        if theirs != ours:
            found.append(f"has {name} {theirs or 'missing'} instead of {ours}: install the same")
    if node.storage:
        found.append(
            f"storage {storage} {node.storage}; name a folder that all nodes share, or a bucket"
            " such as s3://BUCKET/rayred"
        )
    if abs(node.clock) > CLOCK_SECONDS:
        found.append(f"its clock is {node.clock:+.0f} s from this machine's: set them by NTP")
    return found


@contextmanager
def _written(storage: str | None) -> Iterator[str | None]:
    """Write a file for all nodes to see, and give its name."""
    if storage is None:
        yield None
        return
    name = f".rayred-{uuid.uuid4().hex}"
    try:
        files, root = fs.FileSystem.from_uri(storage)
        files.create_dir(root, recursive=True)
        with files.open_output_stream(f"{root.rstrip('/')}/{name}") as stream:
            stream.write(b"rayred")
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"storage: {shown_url(storage)}: cannot be written: {reason}") from error
    try:
        yield name
    finally:
        files.delete_file(f"{root.rstrip('/')}/{name}")


def _ask(node: str, storage: str | None, written: str | None) -> tuple[ray.ObjectRef[Any], float]:
    where = NodeAffinitySchedulingStrategy(node, soft=False)
    task = ray.remote(probe.probe).options(
        num_cpus=0, scheduling_strategy=where, max_retries=0, runtime_env={}
    )
    return task.remote(storage, written), time.time()


def _answer(address: str, asked: ray.ObjectRef[Any], began: float) -> Node | None:
    """Return what a node has answered; None where it has gone in between."""
    try:
        facts = ray.get(asked, timeout=PROBE_SECONDS)
    except TaskUnschedulableError:
        return None
    except RayError as error:
        return Node(address, failure=f"does not answer: {ray_reason(error)}")
    # It was read between the two times here, if the clocks agree.
    clock = facts["clock"]
    ahead = max(0.0, clock - time.time()) + min(0.0, clock - began)
    return Node(address, **{**facts, "gpus": tuple(facts["gpus"]), "clock": ahead})

"""Cluster one large class by workers on several hosts, and say what came out."""

import hashlib
import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import ray

from rayred.clustering.groups import grow_trees
from rayred.clustering.on_ray import RayMap
from rayred.config import Linkage
from rayred.machines.connect import connect
from rayred.machines.layout import Scaling

ROWS, DIMENSIONS, KEEP = 6_000, 512, 0.5


def points() -> np.ndarray:
    """Return rows in 600 loose groups, float32."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(600, DIMENSIONS))
    spread = 0.3 * rng.normal(size=(ROWS, DIMENSIONS))
    return (centres[np.arange(ROWS) % 600] + spread).astype(np.float32)


def clustered(**how: object) -> str:
    """Return a digest of the tree of all rows as one class, its last bit included."""
    trees = grow_trees(
        points(), np.zeros(ROWS, int), KEEP, Linkage(precision="float32"), device="cpu", **how
    )
    (tree,) = trees.trees
    return hashlib.sha256(tree.children.tobytes() + tree.heights.tobytes()).hexdigest()


def meet(folder: Path, hosts: int, _: int) -> str:
    """Wait until workers of so many hosts are at work, and return the address of this one."""
    own = ray.util.get_node_ip_address()
    (folder / own).touch()
    ends = time.monotonic() + 240
    while len(list(folder.iterdir())) < hosts and time.monotonic() < ends:
        time.sleep(0.1)
    return own


if __name__ == "__main__":
    workers, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir()
    with connect("auto"), RayMap(Scaling(workers=workers)) as map:
        hosts = set(map(partial(meet, folder, 2), range(workers)))
        digest = clustered(map=map, workers=workers, spread_rows=1_000)
        sys.stdout.write(json.dumps({"digest": digest, "hosts": sorted(hosts)}) + "\n")

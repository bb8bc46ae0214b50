"""The layout of a study on a cluster: processes, threads and storage of every stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from rayred.buckets import is_url
from rayred.config import Resources
from rayred.errors import ConfigError
from rayred.files import joined
from rayred.machines.connect import Cluster
from rayred.store import CHECKPOINTS


@dataclass(frozen=True)
class Scaling:
    """Processes of one stage, and the resources of each."""

    workers: int = 1
    """Processes at a time."""
    gpu: bool = False
    """Whether each has a GPU."""
    threads: int = 1
    """CPU threads of each."""
    cpus: int = 1
    """CPUs that Ray reserves for each."""
    min_workers: int | None = None
    """Fewest processes that a training goes on with; None: all of them."""

    @property
    def fewest(self) -> int:
        """Processes without which a training waits for machines."""
        return self.workers if self.min_workers is None else self.min_workers


@dataclass(frozen=True)
class Layout:
    """Workers, threads and storage of every stage."""

    reference: Scaling
    """The reference training."""
    embedding: Scaling
    """The embedding pass."""
    clustering: Scaling
    """The actors that cluster classes."""
    trials: Scaling
    """One trial of the sweep."""
    concurrent_trials: int | None
    """Trials at a time; None: as many as there is room for, also on nodes that join later."""
    trials_per_gpu: int
    """Processes with trials of one worker that share a GPU."""
    trials_per_pack: int | None
    """Trials that are trained as one batched network; None: as many as a GPU's memory takes."""
    storage: str
    """Folder or URL that all nodes share, for checkpoints."""

    def within(self, study: str) -> Self:
        """Return the layout with a storage of the study's own."""
        return replace(self, storage=joined(self.storage, study))

    def trial_resources(self) -> dict[str, float]:
        """Return the resources that Tune reserves for a trial."""
        if self.trials.workers > 1:
            # The trial itself only waits: Ray Train reserves what its workers need. It waits on the
            # head node, which is the last one to be lost.
            return {"node:__internal_head__": 0.001}
        gpus = 1 / self.trials_per_gpu if self.trials.gpu else 0
        return {"CPU": self.trials.cpus, "GPU": gpus}

    def trial_bundle(self) -> dict[str, float]:
        """Return what a process with trials needs on one node, where no GPU is shared."""
        gpus = {"GPU": 1.0} if self.trials.gpu else {}
        return {"CPU": float(self.trials.cpus * self.trials_per_gpu), **gpus}

    def trial_bundles(self, trials: int) -> int:
        """Return how many times `trial_bundle` a number of trials can use at a time."""
        trials = min(trials, self.concurrent_trials or trials)
        return -(-trials * self.trials.workers // self.trials_per_gpu)

    @classmethod
    def plan(cls, resources: Resources, storage: str, cluster: Cluster, folder: str) -> Self:
        """Lay a study out on the cluster that is there.

        Parameters
        ----------
        resources
            Settings with threads and device fixed, see `fixed_resources`.
        storage
            The setting `storage`.
        cluster, folder
            The cluster, and the study's run folder: an absolute path, or a URL.

        Raises
        ------
        ConfigError
            The cluster does not have what the settings ask for.
        """
        gpu = cluster.uses_gpu(resources.device)
        fixed = fixed_resources(resources, cluster)
        threads, reference_threads = fixed["threads"], fixed["reference_threads"]
        largest = max(cluster.node_cpus)
        cpus, reference_cpus = min(threads, largest), min(reference_threads, largest)
        fewest = _fewest_workers(resources, cluster)
        slots = cluster.slots(1, gpu)
        sharing = _sharing(resources)
        fitting = max(1, cluster.slots(cpus, gpu, sharing) // resources.workers)
        pack = None if resources.trials_per_pack == "auto" else resources.trials_per_pack
        if resources.workers > 1 or (pack is None and not gpu):
            pack = 1
        actor_threads = cluster.threads(slots, gpu)
        return cls(
            reference=Scaling(resources.workers, gpu, reference_threads, reference_cpus, fewest),
            embedding=Scaling(
                max(1, cluster.slots(reference_cpus, gpu)), gpu, reference_threads, reference_cpus
            ),
            clustering=Scaling(slots, gpu, actor_threads, actor_threads),
            trials=Scaling(resources.workers, gpu, threads, cpus, fewest),
            concurrent_trials=_concurrent(resources, fitting),
            trials_per_gpu=sharing,
            trials_per_pack=pack,
            storage=_storage(storage, folder),
        )


def fixed_resources(resources: Resources, cluster: Cluster) -> dict[str, Any]:
    """Return the settings whose ``auto`` a study fixes when it begins, for the cluster there is.

    Returns
    -------
    values
        ``device``, ``threads`` and ``reference_threads``, as they are where they are not ``auto``.

    Raises
    ------
    ConfigError
        The cluster does not have the device or the number of workers asked for.
    """
    gpu = cluster.uses_gpu(resources.device)
    slots = cluster.slots(1, gpu)
    fewest = _fewest_workers(resources, cluster)
    if fewest > slots:
        name = "workers" if fewest == resources.workers else "min_workers"
        kind = "GPUs" if gpu else "CPUs"
        raise ConfigError(
            f"resources.{name}: {fewest}: the cluster has {slots} {kind}, and every worker needs"
            " one"
        )
    workers = min(resources.workers, slots)
    sharing = _sharing(resources)
    fitting = cluster.slots(1, gpu, sharing) // workers
    at_a_time = workers * _at_most(resources.concurrent_trials, fitting)
    threads, reference_threads = resources.threads, resources.reference_threads
    if threads == "auto":
        threads = cluster.threads(at_a_time, gpu, sharing)
    if reference_threads == "auto":
        reference_threads = cluster.threads(workers, gpu)
    device = "cuda" if gpu else "cpu"
    return {"device": device, "threads": threads, "reference_threads": reference_threads}


def _sharing(resources: Resources) -> int:
    """Return how many processes share a GPU: the workers of one trial have a GPU each."""
    return resources.trials_per_gpu if resources.workers == 1 else 1


def _concurrent(resources: Resources, fitting: int) -> int | None:
    if resources.workers > 1:
        # These trials only wait for their workers: all would start at once.
        return _at_most(resources.concurrent_trials, fitting)
    wanted = resources.concurrent_trials
    return wanted if isinstance(wanted, int) else None


def _fewest_workers(resources: Resources, cluster: Cluster) -> int:
    """Return how many workers a training needs: machines come and go where there are several."""
    if resources.min_workers != "auto":
        return resources.min_workers
    return resources.workers if cluster.nodes == 1 else 1


def _at_most(wanted: int | str, fitting: int) -> int:
    return min(wanted, fitting) if isinstance(wanted, int) else fitting


def checkpoints_below(folder: str) -> str:
    """Return where checkpoints are if the setting `storage` names no other place."""
    return joined(folder, CHECKPOINTS)


def _storage(setting: str, folder: str) -> str:
    if setting == "auto":
        return checkpoints_below(folder)
    return setting if is_url(setting) else str(Path(setting).expanduser().resolve())

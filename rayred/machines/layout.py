"""How the work of a study is laid out on a cluster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from rayred.config import Experiment
from rayred.errors import ConfigError
from rayred.machines.connect import Cluster, Scaling


@dataclass(frozen=True)
class Execution:
    """Workers, threads and storage of every stage."""

    reference: Scaling
    """The reference training."""
    embedding: Scaling
    """The embedding pass."""
    clustering: Scaling
    """The actors that cluster classes."""
    trials: Scaling
    """One trial of the sweep."""
    concurrent_trials: int
    """Trials at a time."""
    trials_per_gpu: int
    """Processes with trials of one worker that share a GPU."""
    trials_per_pack: int | None
    """Trials that are trained as one batched network; none: as many as a GPU's memory takes."""
    storage: str
    """Folder or URL that all nodes share: where checkpoints lie."""

    def within(self, study: str) -> Self:
        """Keep one study's checkpoints apart from another's, wherever they lie."""
        return replace(self, storage=f"{self.storage}/{study}")

    def trial_resources(self) -> dict[str, float]:
        """Return what Tune reserves for a trial."""
        if self.trials.workers > 1:
            # The trial itself only waits: Ray Train reserves what its workers need. It waits on the
            # head node, which is the last one to be lost.
            return {"node:__internal_head__": 0.001}
        gpus = 1 / self.trials_per_gpu if self.trials.gpu else 0
        return {"CPU": self.trials.threads, "GPU": gpus}

    @classmethod
    def plan(cls, experiment: Experiment, cluster: Cluster, folder: Path) -> Self:
        """Lay a study out on the cluster that is there.

        Raises
        ------
        ConfigError
            The cluster does not have what the experiment asks for.
        """
        wanted = experiment.resources
        gpu = cluster.uses_gpu(wanted.device)
        slots = cluster.slots(1, gpu)
        if wanted.workers > slots:
            kind = "GPUs" if gpu else "CPUs"
            raise ConfigError(
                f"resources.workers: {wanted.workers}: the cluster has {slots} {kind}, and every"
                " worker needs one"
            )
        # Workers of one trial have a GPU each.
        sharing = wanted.trials_per_gpu if wanted.workers == 1 else 1
        fitting = cluster.slots(1, gpu, sharing) // wanted.workers
        concurrent = fitting
        if isinstance(wanted.concurrent_trials, int):
            concurrent = min(wanted.concurrent_trials, fitting)
        pack = None if wanted.trials_per_pack == "auto" else wanted.trials_per_pack
        if wanted.workers > 1 or (pack is None and not gpu):
            pack = 1
        passes = slots if gpu else cluster.nodes
        return cls(
            reference=Scaling(wanted.workers, gpu, cluster.threads(wanted.workers, gpu)),
            embedding=Scaling(passes, gpu, cluster.threads(passes, gpu)),
            clustering=Scaling(slots, gpu, cluster.threads(slots, gpu)),
            trials=Scaling(
                wanted.workers, gpu, cluster.threads(concurrent * wanted.workers, gpu, sharing)
            ),
            concurrent_trials=concurrent,
            trials_per_gpu=sharing,
            trials_per_pack=pack,
            storage=_storage(experiment.storage, cluster, folder),
        )


def _storage(setting: str, cluster: Cluster, folder: Path) -> str:
    if setting != "auto":
        return setting if "://" in setting else str(Path(setting).expanduser().resolve())
    if cluster.nodes > 1:
        raise ConfigError(
            f"storage: 'auto': the cluster has {cluster.nodes} nodes; name a folder or URL that"
            " all of them share, such as s3://BUCKET/rayred"
        )
    return str(folder.resolve() / "ray")

"""One study at work: its experiment, folder, images and cluster, and the keys of its results."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.on_ray import RayMap, check_backend
from rayred.config import Experiment
from rayred.config.file import dump_experiment
from rayred.data import Dataset
from rayred.data.dataset import write_left_out
from rayred.machines.connect import Cluster, share
from rayred.machines.layout import Layout, fixed_resources
from rayred.results.trial import Trial
from rayred.review import stored_experiment
from rayred.store import Store, check_store, open_store
from rayred.training import Task
from rayred.training.on_ray import resolve_precision

logger = logging.getLogger(__name__)

LEFT_OUT = "left-out.csv"
"""What the data set has beside the images that are used, with the reason of each."""


@dataclass(frozen=True)
class StudyKeys:
    """The keys of everything that a study makes."""

    experiment: Experiment
    """With every ``auto`` fixed that decides results."""
    dataset: str
    """Content digest of the data set."""

    def study(self) -> str:
        """Return the key of the study as a whole."""
        return keys.study(dataset=self.dataset, settings=self.experiment.deciding())

    def reference(self, subset: str) -> str:
        """Return the key of the reference, trained on all rows."""
        numerics = self.experiment.resources.reference_numerics()
        return self._training(subset, self.experiment.seed, numerics)

    def trial(self, trial: Trial, subset: str) -> str:
        """Return the key of a trial."""
        return self._training(subset, trial.seed, self.experiment.resources.trial_numerics())

    def trees(self, embeddings: str) -> str:
        """Return the key of the trees of all classes."""
        linkage, fraction = self.experiment.linkage, min(self.experiment.sweep.fractions)
        return keys.trees(embeddings=embeddings, linkage=linkage.deciding(), fraction=fraction)

    def subsets(self, trees: str) -> str:
        """Return the key of the subsets of all selectors."""
        sweep = self.experiment.sweep
        return keys.subsets(
            trees=trees,
            fractions=sweep.fractions,
            selectors=sweep.selectors,
            trials=sweep.trials,
            seed=self.experiment.seed,
        )

    def _training(self, subset: str, seed: int, numerics: keys.Numerics) -> str:
        return keys.training(
            dataset=self.dataset,
            model=self.experiment.model,
            train=self.experiment.train.deciding(),
            subset=subset,
            seed=seed,
            numerics=numerics,
        )


@dataclass(frozen=True)
class Job:
    """All that the stages of one study share."""

    experiment: Experiment
    """With every ``auto`` fixed that decides results."""
    store: Store
    dataset: Dataset
    dataset_ref: Any
    """The data set in Ray's object store."""
    layout: Layout

    @property
    def keys(self) -> StudyKeys:
        """The keys of the study's results."""
        return StudyKeys(self.experiment, self.dataset.digest)

    @property
    def rows(self) -> NDArray[np.int64]:
        """All training images."""
        return np.arange(len(self.dataset.train))

    @cached_property
    def task(self) -> Task:
        """What the reference and the trials train, apart from a trial's seed."""
        experiment = self.experiment
        return Task.for_dataset(experiment.model, self.dataset, experiment.train, experiment.seed)

    def with_settings(self, settings: dict[str, Any]) -> Job:
        """Return the job with the settings that a search has found."""
        return replace(self, experiment=self.experiment.with_settings(settings))

    def class_map(self) -> RayMap:
        """Return a map over actors for the work on single classes."""
        return RayMap(self.layout.clustering)


def begin(experiment: Experiment, path: Path, *, fresh: bool, update: bool) -> Experiment:
    """Return the experiment as the study in a folder has fixed it, before any work starts.

    Raises
    ------
    RunFolderError
        The folder cannot hold the study.
    """
    stored = None if fresh else stored_experiment(path)
    if stored is not None:
        experiment = experiment.fixed_as(stored)
    check_store(path, lambda: _differences(experiment, path), fresh=fresh, update=update)
    return experiment


@contextmanager
def open_job(
    experiment: Experiment,
    path: Path,
    dataset: Dataset,
    cluster: Cluster,
    *,
    fresh: bool,
    update: bool,
) -> Iterator[Job]:
    """Fix what the cluster decides, lay the study out, and open its folder.

    Raises
    ------
    ConfigError
        The cluster does not have what the experiment asks for.
    RunFolderError
        The folder cannot hold the study.
    """
    fixed: dict[str, Any] = {
        f"resources.{name}": value
        for name, value in fixed_resources(experiment.resources, cluster).items()
    }
    fixed["train.precision"] = resolve_precision(
        experiment.train.precision, gpu=fixed["resources.device"] == "cuda"
    )
    experiment = experiment.with_fixed(fixed)
    layout = Layout.plan(experiment.resources, experiment.storage, cluster, path)
    for linkage in experiment.linkages():
        check_backend(linkage, layout.clustering)
    config = dump_experiment(experiment)

    def changes() -> Sequence[str]:
        return _differences(experiment, path)

    with open_store(path, config, changes, fresh=fresh, update=update) as store:
        store.begin(StudyKeys(experiment, dataset.digest).study())
        if layout.storage.startswith(str(store.path)):
            store.place("ray")
        write_left_out(store.place(LEFT_OUT), dataset.splits())
        for notice in dataset.notices():
            logger.warning("%s", notice)
        if any(split.left_out for split in dataset.splits().values()):
            logger.warning("what is left out is listed in %s", store / LEFT_OUT)
        yield Job(experiment, store, dataset, share(dataset), layout.within(store.identity))


def _differences(experiment: Experiment, path: Path) -> list[str]:
    stored = stored_experiment(path)
    return [] if stored is None else experiment.differences(stored)

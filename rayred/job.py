"""One study at work: its experiment, folder, images and cluster, and the keys of its results."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.buckets import is_url
from rayred.clustering.on_ray import RayMap, check_backend
from rayred.config import Experiment
from rayred.data import Dataset
from rayred.data.stages import IMAGES, LEFT_OUT, describe_changes
from rayred.machines.connect import Cluster, share
from rayred.machines.environment import Environment
from rayred.machines.layout import Layout, checkpoints_below, fixed_resources
from rayred.machines.nodes import check_nodes
from rayred.machines.scaling import wait_for_gpus
from rayred.places import check_lasts
from rayred.results.trial import TestSplit, Trial
from rayred.stages import CONFIG, DATASET, TEST_SPLIT
from rayred.store import (
    CHECKPOINTS,
    Store,
    check_folder,
    check_no_changes,
    open_store,
    place_of,
)
from rayred.study import keep_config, stored_experiments
from rayred.training import Task, Trained
from rayred.training.on_ray import resolve_precision

logger = logging.getLogger(__name__)


def reference_seed(seed: int, number: int) -> int:
    """Return the training seed of a reference: of the first, number 0, that of the study."""
    if number == 0:
        return seed
    which = zlib.crc32(b"reference")  # other seeds than those of trials
    return int(np.random.SeedSequence([seed, number, which]).generate_state(1)[0])


@dataclass(frozen=True)
class StudyKeys:
    """The keys of everything that a study makes."""

    experiment: Experiment
    """With every ``auto`` fixed that decides results."""
    dataset: str
    """Content digest of the data set."""
    given: str | None = None
    """Digest of a subset that was chosen before the study, if there is one."""

    def study(self) -> str:
        """Return the key of the study as a whole."""
        settings = self.experiment.deciding()
        return keys.study(dataset=self.dataset, settings=settings, given=self.given)

    def reference(self, subset: str, number: int = 0) -> str:
        """Return the key of the reference of a number, trained on all rows."""
        numerics = self.experiment.resources.reference_numerics()
        return self._training(subset, reference_seed(self.experiment.seed, number), numerics)

    def trial(self, trial: Trial, subset: str) -> str:
        """Return the key of a trial."""
        return self._training(subset, trial.seed, self.experiment.resources.trial_numerics())

    def embeddings(self, reference: Trained) -> str:
        """Return the key of the embeddings of all training images."""
        arrays = {name: weight.numpy() for name, weight in reference.weights.items()}
        weights = keys.weights(arrays)
        return keys.embeddings(dataset=self.dataset, model=self.experiment.model, weights=weights)

    def trees(self, embeddings: str) -> str:
        """Return the key of the trees of all classes, by the digest of the embeddings."""
        linkage, fraction = self.experiment.linkage, min(self.experiment.sweep.fractions)
        return keys.trees(embeddings=embeddings, linkage=linkage.deciding(), fraction=fraction)

    def subsets(self, trees: str, embeddings: str, scores: Mapping[str, str]) -> str:
        """Return the key of the subsets of all selectors, by the digests of what they go by."""
        sweep = self.experiment.sweep
        return keys.subsets(
            trees=trees,
            embeddings=embeddings,
            scores=scores,
            fractions=sweep.fractions,
            selectors=sweep.selectors,
            trials=sweep.trials,
            seed=self.experiment.seed,
            given=self.given,
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
    layout: Layout
    given: NDArray[np.int64] | None = None
    """(n,) int64 ascending, the images of a subset that was chosen before, if there is one."""

    @cached_property
    def dataset_ref(self) -> Any:
        """The data set in Ray's object store, from the first training on."""
        return share(self.dataset)

    @property
    def keys(self) -> StudyKeys:
        """The keys of the study's results."""
        return _keys(self.experiment, self.dataset, self.given)

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
    """Return the experiment as a study in a folder has fixed it, before any work starts.

    Raises
    ------
    RunFolderError
        The folder cannot hold the study.
    """
    check_folder(path)
    stored = stored_experiments(path)
    fixed = [experiment.fixed_as(one) for one in stored]
    same = [ours for ours, theirs in zip(fixed, stored, strict=True) if _same(ours, theirs)]
    experiment = next(iter([*same, *fixed]), experiment)
    if stored and not (fresh or update):
        check_no_changes(path, experiment.differences(stored[0], images=False))
    return experiment


def _same(ours: Experiment, theirs: Experiment) -> bool:
    return not ours.differences(theirs, images=False)


@contextmanager
def open_job(
    experiment: Experiment,
    path: Path,
    dataset: Dataset,
    cluster: Cluster,
    *,
    fresh: bool,
    update: bool,
    given: NDArray[np.int64] | None = None,
) -> Iterator[Job]:
    """Fix what the cluster decides, lay the study out, and open its folder.

    Raises
    ------
    ConfigError
        The cluster does not have what the experiment asks for.
    RunFolderError
        The folder cannot hold the study.
    """
    cluster = wait_for_gpus(cluster, experiment.resources.device, experiment.resources.workers)
    fixed: dict[str, Any] = {
        f"resources.{name}": value
        for name, value in fixed_resources(experiment.resources, cluster).items()
    }
    fixed["train.precision"] = resolve_precision(
        experiment.train.precision, gpu=fixed["resources.device"] == "cuda"
    )
    experiment = experiment.with_fixed(fixed)
    layout = Layout.plan(experiment.resources, experiment.storage, cluster, place_of(path))
    if cluster.nodes > 1:
        check_nodes(layout.storage)
        if not is_url(place_of(path)) and layout.storage != checkpoints_below(place_of(path)):
            check_lasts(path)
    for linkage in experiment.linkages():
        check_backend(linkage, layout.clustering)
    environment = asdict(Environment.describe(cluster))
    with open_store(path, environment, make=True) as store:
        _check_images(store, experiment, dataset, changing=fresh or update)
        store.begin(_keys(experiment, dataset, given).study(), fresh=fresh)
        keep_config(store, experiment)
        _keep_dataset(store, dataset)
        if layout.storage == checkpoints_below(place_of(path)):
            store.place(CHECKPOINTS)
        for notice in dataset.notices():
            logger.warning("%s", notice)
        if any(split.left_out for split in dataset.splits().values()):
            logger.warning("what is left out is listed in %s", store / "left-out.csv")
        within = layout.within(store.identity)
        yield Job(experiment, store, dataset, within, given)


def _keys(experiment: Experiment, dataset: Dataset, given: NDArray[np.int64] | None) -> StudyKeys:
    return StudyKeys(experiment, dataset.digest, None if given is None else keys.array(given))


def _check_images(store: Store, experiment: Experiment, dataset: Dataset, changing: bool) -> None:
    """Say how many images have changed since the study in a folder.

    Raises
    ------
    RunFolderError
        The images are others, the settings select others, and this is not wanted.
    """
    stored, before = store.current(CONFIG), store.current(IMAGES)
    if stored is None or before is None or before.key == dataset.digest:
        return
    selected = experiment.differences(stored.value)
    if selected and not changing:
        check_no_changes(store.path, selected)
    if not selected:
        splits = {title: split.fingerprints() for title, split in dataset.splits().items()}
        logger.warning(
            "the images have changed since the study in %s (%s): what depends on them is made anew,"
            " and what was made before stays",
            store.name,
            "; ".join(describe_changes(before.value, splits)) or "how images are read",
        )


def _keep_dataset(store: Store, dataset: Dataset) -> None:
    """Keep facts of the data set, which images there are, and what it leaves out."""
    splits, key = dataset.splits(), dataset.digest
    sizes = [int(size) for size in dataset.test.class_sizes()]
    store.keep(DATASET, key, lambda: {**dataset.facts(), "test_class_sizes": sizes})
    if len(splits) > 1:
        labels = dataset.test.labels
        store.keep(TEST_SPLIT, key, lambda: TestSplit(tuple(sizes), dataset.classes, labels))
    store.keep(IMAGES, key, lambda: {name: one.fingerprints() for name, one in splits.items()})
    left_out = {
        title: [[one.row, one.name, one.reason] for one in split.left_out]
        for title, split in splits.items()
    }
    store.keep(LEFT_OUT, keys.digest("left-out", 1, {"rows": left_out}), lambda: splits)

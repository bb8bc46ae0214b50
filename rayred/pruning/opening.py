"""The settings of pruning, and its folder, images and embeddings once they are opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.nearest import Nearest, nearest_rows
from rayred.clustering.on_ray import RayMap
from rayred.config import Experiment
from rayred.config.experiment import is_dataset_name
from rayred.config.file import override_experiment
from rayred.data import Dataset, Split, load_train_split
from rayred.data.sources import sources_of
from rayred.data.thumbnails import thumbnails
from rayred.embedding import TrainedBefore, embed
from rayred.errors import ConfigError, DataError
from rayred.files import Link, check_link
from rayred.job import Job, begin, open_job
from rayred.linkage.rows import NOT_FINITE, unusable_rows
from rayred.machines.connect import connect
from rayred.machines.failures import LOGS, ray_failures
from rayred.outputs import Sources, check_output
from rayred.places import check_places
from rayred.progress import progress_bar
from rayred.pruning.edited import read_edited
from rayred.pruning.known import NEAREST, Known, Owned
from rayred.pruning.tables import BY_COLUMN, REFERENCE_SPACE, Representative
from rayred.references import train_reference
from rayred.selection import needs_scores
from rayred.spaces import Space
from rayred.store import Made
from rayred.training.stages import OTHERS


@dataclass(frozen=True)
class Settings:
    """What pruning is told, apart from where to cut."""

    dataset: str
    out: Path
    space: Space
    overrides: Sequence[str]
    address: str | None
    fresh: bool
    update: bool
    representative: Representative = "centre"
    link: Link = "copy"
    by: str = "semantic"
    against: str | None = None
    edited: Path | None = None


@dataclass(frozen=True)
class Opened:
    """All that it takes to choose images."""

    job: Job
    images: Split
    """N images."""
    x: Made[NDArray[Any]]
    """(N, D) what the images are compared by."""
    map: RayMap
    """Runs the work on classes."""
    scores: Mapping[str, NDArray[np.float64]]
    """(N,) how each image was learned, by name, if the selector needs it."""
    space: str = REFERENCE_SPACE
    """What `x` is, in words: another text for other embeddings of the same images."""
    owned: Owned | None = None
    """The data set that one has, if images that it has are not to be kept."""
    nearest: Nearest | None = None
    """Its image that is nearest to each of the N images."""
    known: Known | None = None
    """The images that were taken away since it has them."""
    edited: NDArray[np.int64] | None = None
    """(n,) ascending, which of the N images a person chose to keep; None if nobody did."""

    def against(self) -> str | None:
        """Return the data set that one has in words, if there is one."""
        return None if self.owned is None else self.owned.sentence()

    def without_known(self, distance: float) -> Opened:
        """Return the images of which the data set that one has holds none within a distance.

        Raises
        ------
        DataError
            It holds all images.
        """
        assert self.owned is not None
        assert self.nearest is not None
        known = Known.within(self.images, self.owned, self.nearest, distance)
        if not len(known.place):
            return replace(self, known=known)
        rest = np.setdiff1d(np.arange(len(self.images)), known.place)
        images, x = known.others(), self.x.value[rest]
        digest = keys.array(x)
        return replace(self, images=images, x=Made(x, digest, digest), scores={}, known=known)


@contextmanager
def opened(given: Settings) -> Iterator[Opened]:
    """Open the folder and the embeddings of the images, and what maps the work on classes."""
    if needs_scores([given.by]) and not given.space.is_of_reference:
        raise ConfigError(
            f"prune: --by {given.by} goes by how a reference model learns each image; leave out"
            " --embeddings, --model, --reference and --pixels"
        )
    experiment = _experiment(given).with_absolute_paths()
    files = [] if given.edited is None else [given.edited]
    check_places(experiment, given.out, *given.space.files(), *files)
    if given.against is not None:
        _check_not_in(given.against, experiment, given.out)
    fresh, update = given.fresh, given.update
    experiment = begin(experiment, given.out, fresh=fresh, update=update)
    model = given.space.trained_before()
    whole_images = experiment.needs_whole_images()
    images = load_train_split(experiment.dataset, experiment.data, whole=whole_images)
    check_link(given.link, images.folder, given.out)
    if given.representative == "oldest" and images.folder is None:
        raise ConfigError("prune: oldest: images that are no files have no age; keep the largest")
    if given.representative in BY_COLUMN and images.scores is None:
        raise ConfigError(
            f"prune: {given.representative}: goes by a column of numbers of a parquet: or hf: data"
            " set, named by --set data.score_column=NAME; other data sets have none"
        )
    if model is not None:
        model.check(images, given.dataset)
    edited = None if given.edited is None else read_edited(given.edited, images)
    owned = None
    if given.against is not None:
        by_file = given.space.embeddings is not None
        owned = Owned.of(given.against, images, experiment.data, by_file=by_file)
    # There is no test split: the reference is tested on the images that it was trained on.
    whole = Dataset(experiment.dataset, images, images)
    x = given.space.given(images)
    with (
        connect(given.address) as cluster,
        open_job(experiment, given.out, whole, cluster, fresh=fresh, update=update) as job,
        ray_failures(job.store.place(LOGS)),
        job.class_map() as map,
    ):
        scores: Mapping[str, NDArray[np.float64]] = {}
        if x is not None:
            name = "thumbnails" if given.space.pixels else f"embeddings {x.digest[:8]}"
        elif model is not None:
            x, name = model.embed(job), model.sentence()
        else:
            reference = train_reference(job)
            x, name, scores = embed(job, reference), REFERENCE_SPACE, reference.value.scores
            model = TrainedBefore.reference(reference.value)
        if owned is None:
            job.store.take({}, instead_of=OTHERS.name)
            job.store.take({}, instead_of=NEAREST.name)
        nearest = None if owned is None else _nearest(job, images, x, owned, model)
        yield Opened(job, images, x, map, scores, name, owned, nearest, edited=edited)


def _nearest(
    job: Job, images: Split, x: Made[NDArray[Any]], owned: Owned, model: TrainedBefore | None
) -> Nearest:
    """Return the nearest image that one has of each image; `x` are their (N, D) embeddings."""
    ours = x.value
    if owned.x is not None:
        theirs, digest = owned.x, keys.array(owned.x)
    elif owned.images is not None and model is not None:
        model.check(owned.images, owned.name)
        embedded = model.embed(job, owned.images)
        theirs, digest = embedded.value, embedded.digest
    else:
        assert owned.images is not None
        theirs = thumbnails(owned.images)
        digest = keys.array(theirs)
        channels = images.image_shape[2], owned.images.image_shape[2]
        if channels == (1, 3):
            ours = np.repeat(ours, 3, axis=1)
        elif channels == (3, 1):
            theirs = np.repeat(theirs, 3, axis=1)

    def find() -> Nearest:
        for name, values in ((job.experiment.dataset, ours), (owned.name, theirs)):
            not_finite, _ = unusable_rows(values)
            if len(not_finite):
                raise DataError(f"{name}: embedding {not_finite[0]} {NOT_FINITE}")
        try:
            with progress_bar("nearest", "image", len(ours)) as bar:
                return nearest_rows(ours, theirs, bar.update)
        except ValueError as error:
            raise DataError(f"{owned.name}: {error}") from error

    return job.store.run(NEAREST, keys.nearest(x=x.digest, others=digest), find).value


def _check_not_in(name: str, experiment: Experiment, out: Path) -> None:
    """Refuse an output in or above a data set, or file, that one has."""
    if is_dataset_name(name):
        data = experiment.data.model_copy(update={"test": None})
        check_output(out, sources_of(name, data))
    else:
        check_output(out, Sources((Path(name),)))


def _experiment(given: Settings) -> Experiment:
    dataset = given.dataset
    sweep = {"fractions": [1.0], "selectors": [given.by], "trials": 1}
    # As it is: images of several sizes are brought to one, and what cannot be used is listed.
    data = {**given.space.data_settings(), "undecodable": "skip"}
    data["unlabelled"] = given.space.unlabelled
    if dataset.startswith("parquet:"):
        data["test"] = dataset
    settings: dict[str, Any] = {"dataset": dataset, "data": data, "sweep": sweep}
    experiment = override_experiment(settings, "prune", given.overrides)
    if experiment.sweep.space:
        raise ConfigError("prune: sweep.space: nothing is searched for here; use rayred run")
    if experiment.selection.references > 1:
        raise ConfigError("prune: selection.references: there is one here; use rayred run")
    return experiment

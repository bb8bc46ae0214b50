"""The settings of pruning, and its folder, images and embeddings once they are opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.on_ray import RayMap
from rayred.config import Experiment
from rayred.config.file import override_experiment
from rayred.data import Dataset, load_train_split
from rayred.embedding import embed
from rayred.errors import ConfigError
from rayred.files import Link, check_link
from rayred.job import Job, begin, open_job
from rayred.machines.connect import connect
from rayred.machines.failures import LOGS, ray_failures
from rayred.models.pretrained import Pretrained
from rayred.places import check_places
from rayred.pruning.tables import BY_COLUMN, REFERENCE_SPACE, Representative
from rayred.references import train_reference
from rayred.selection import needs_scores
from rayred.spaces import Space
from rayred.store import Made


@dataclass(frozen=True)
class Settings:
    """What pruning is told, apart from where to cut."""

    dataset: str
    out: Path
    space: Space
    representative: Representative
    link: Link
    overrides: Sequence[str]
    address: str | None
    fresh: bool
    update: bool
    by: str = "semantic"


@dataclass(frozen=True)
class Opened:
    """All that it takes to choose images."""

    job: Job
    x: Made[NDArray[Any]]
    """(N, D) what the images are compared by."""
    map: RayMap
    """Runs the work on classes."""
    scores: Mapping[str, NDArray[np.float64]]
    """(N,) how each image was learned, by name, if the selector needs it."""
    space: str = REFERENCE_SPACE
    """What `x` is, in words: another text for other embeddings of the same images."""


@contextmanager
def opened(given: Settings) -> Iterator[Opened]:
    """Open the folder and the embeddings of the images, and what maps the work on classes."""
    if needs_scores([given.by]) and not given.space.is_of_reference:
        raise ConfigError(
            f"prune: --by {given.by} goes by how a reference model learns each image; leave out"
            " --embeddings, --model and --pixels"
        )
    experiment = _experiment(given, given.space.pretrained()).with_absolute_paths()
    check_places(experiment, given.out, *given.space.files())
    again = {"fresh": given.fresh, "update": given.update}
    experiment = begin(experiment, given.out, **again)
    model = given.space.trained_before()
    whole_images = experiment.needs_whole_images()
    images = load_train_split(experiment.dataset, experiment.data, whole=whole_images)
    check_link(given.link, images.folder, given.out)
    if given.representative == "oldest" and images.folder is None:
        raise ConfigError("prune: oldest: images that are no files have no age; keep the largest")
    if given.representative in BY_COLUMN and images.scores is None:
        raise ConfigError(
            f"prune: {given.representative}: by which numbers? Name a column of a parquet: or hf:"
            " data set with --set data.score_column=NAME"
        )
    # There is no test split: the reference is tested on the images that it was trained on.
    whole = Dataset(experiment.dataset, images, images)
    x = given.space.given(images)
    with (
        connect(given.address) as cluster,
        open_job(experiment, given.out, whole, cluster, **again) as job,
        ray_failures(job.store.place(LOGS)),
        job.class_map() as map,
    ):
        if x is not None:
            name = "thumbnails" if given.space.pixels else f"embeddings {x.digest[:8]}"
            yield Opened(job, x, map, {}, name)
        elif model is not None:
            name = f"{model.spec.name} with weights {model.digest()[:8]}"
            yield Opened(job, model.embed(job), map, {}, name)
        else:
            reference = train_reference(job)
            yield Opened(job, embed(job, reference), map, reference.value.scores)


def _experiment(given: Settings, model: Pretrained | None) -> Experiment:
    dataset = given.dataset
    sweep = {"fractions": [1.0], "selectors": [given.by], "trials": 1}
    # As it is: images of several sizes are brought to one, and what cannot be used is listed.
    side = "auto" if model is None else model.side
    data: dict[str, Any] = {"image_size": side, "undecodable": "skip"}
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

"""A candidate of the search for settings: what it is trained on, and what it is judged by.

Legend: N training images, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from rayred.clustering.trees import kept_images
from rayred.config import Experiment
from rayred.data.dataset import Dataset
from rayred.errors import ConfigError, DataError, TrainingError
from rayred.linkage import EngineSettings, linkage_trees, representatives
from rayred.machines.layout import Execution
from rayred.store import digest
from rayred.training.checkpoints import Checkpoints
from rayred.training.embedding import embed_images
from rayred.training.loop import Point, Task, Worker, train_model
from rayred.training.on_ray import train_with_ray

EVALUATIONS = 10
"""About as many times is a candidate judged that may be stopped early."""
VERSION = 1
"""Raised whenever the code changes what a candidate of the same inputs comes to."""

Progress = Callable[[float, float, dict[str, Any]], None]
"""Told the accuracy, how many percent of the training are done, and the point of the curve."""


@dataclass(frozen=True)
class SearchInputs:
    """What all candidates share."""

    experiment: Experiment
    """With the settings that the candidates replace."""
    dataset_ref: ray.ObjectRef[Dataset]
    """The training images, with those held out in the test split's place."""
    dataset_digest: str
    rows_ref: ray.ObjectRef[NDArray[np.int64]]
    """(n,) int64: the training images that are not held out."""
    execution: Execution

    def key(self, settings: Mapping[str, Any]) -> str:
        """Return the key of all that a candidate's result depends on."""
        try:
            chosen = self.experiment.with_settings(settings)
        except ValidationError:
            return digest({"refused": settings})
        fraction = judged_fraction(self.experiment)
        return digest(
            {
                "version": VERSION,
                "dataset": self.dataset_digest,
                "model": chosen.model,
                "train": chosen.train.decisive(),
                "linkage": chosen.linkage.model_dump(mode="json") if fraction < 1 else None,
                "fraction": fraction,
                "seed": chosen.seed,
                "asha": chosen.sweep.search.asha,
                "workers": chosen.resources.workers,
            }
        )


def hold_out(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, NDArray[np.int64]]:
    """Split the training images.

    Parameters
    ----------
    dataset
        The images.
    share
        Share of every class to hold out, in (0, 1); one image at least.
    seed
        Decides which.

    Returns
    -------
    dataset
        The same training images, tested on those held out.
    rows
        (n,) int64: the other training images.

    Raises
    ------
    ConfigError
        A class has one image only.
    """
    rng = np.random.default_rng([seed, 0])
    held = []
    for label, name in enumerate(dataset.classes):
        members = np.flatnonzero(dataset.train.labels == label)
        if len(members) < 2:
            raise ConfigError(f"sweep.search: class {name!r} has one image: none can be held out")
        count = min(len(members) - 1, max(1, round(share * len(members))))
        held.append(rng.choice(members, count, replace=False))
    rows = np.sort(np.concatenate(held))
    others = np.setdiff1d(np.arange(len(dataset.train)), rows)
    return Dataset(dataset.name, dataset.train, dataset.train.take(rows)), others


def judged_fraction(experiment: Experiment) -> float:
    """Return the share of the images that candidates are trained on, but for those held out.

    All, unless the linkage is searched for, which makes a difference to semantic subsets only.
    """
    linkage = any(key.startswith("linkage.") for key in experiment.sweep.space)
    return min(experiment.sweep.fractions) if linkage else 1.0


def train_candidate(
    inputs: SearchInputs, settings: Mapping[str, Any], run_name: str, progress: Progress
) -> dict[str, Any]:
    """Train a candidate.

    Parameters
    ----------
    inputs
        What all candidates share.
    settings
        Those that this one has in other settings' place.
    run_name
        Name of its checkpoints.
    progress
        Told of every evaluation but the last.

    Returns
    -------
    outcome
        Fields of a `rayred.search.results.Candidate`; one that fails by itself, or cannot be
        trained as it is, is an outcome as well.
    """
    try:
        return _train(inputs, settings, run_name, progress)
    except ValidationError as error:
        return {"status": "failed", "reason": error.errors()[0]["msg"]}
    except (TrainingError, DataError, ConfigError, ValueError, ImportError) as error:
        return {"status": "failed", "reason": str(error)}
    except torch.OutOfMemoryError as error:
        return {"status": "failed", "reason": str(error).splitlines()[0]}


def _train(
    inputs: SearchInputs, settings: Mapping[str, Any], run_name: str, progress: Progress
) -> dict[str, Any]:
    experiment, execution = inputs.experiment, inputs.execution
    chosen = experiment.with_settings(settings)
    dataset, rows = ray.get([inputs.dataset_ref, inputs.rows_ref])
    recipe = chosen.train
    if experiment.sweep.search.asha:
        epochs = recipe.steps * recipe.batch_size / len(rows)
        recipe = recipe.model_copy(update={"evaluate_every": max(1, round(epochs / EVALUATIONS))})
    task = Task.for_dataset(chosen.model, dataset, recipe, chosen.seed)
    scaling, storage = execution.trials, execution.storage
    if scaling.workers > 1:
        trained = train_with_ray(
            task, inputs.dataset_ref, inputs.rows_ref, scaling, storage, run_name
        )
        return _ended(trained.test_accuracy, trained.train_seconds, trained.curve, recipe.steps)

    def report(point: Point) -> None:
        if point.test_accuracy is not None and point.step < recipe.steps:
            (told,) = _points([point], recipe.steps)
            progress(point.test_accuracy, told["percent"], told)

    torch.set_num_threads(scaling.threads)
    worker = Worker(torch.device("cuda" if scaling.gpu else "cpu"))
    if judged_fraction(experiment) < 1:
        rows = _semantic_subset(chosen, task, dataset, rows, worker)
    checkpoints = Checkpoints(storage, run_name)
    outcome = train_model(
        task,
        dataset,
        rows,
        report,
        save=checkpoints.save,
        worker=worker,
        resume=checkpoints.load(),
    )
    checkpoints.remove()
    return _ended(outcome.test_accuracy, outcome.train_seconds, outcome.curve, recipe.steps)


def _semantic_subset(
    chosen: Experiment, task: Task, dataset: Dataset, rows: NDArray[np.int64], worker: Worker
) -> NDArray[np.int64]:
    """Return what the study would keep of `rows` at its smallest fraction."""
    reference = train_model(task, dataset, rows, worker=worker)
    x_ND = embed_images(reference.model, dataset.train, worker.device)[rows]
    labels = dataset.train.labels[rows]
    members = [np.flatnonzero(labels == label) for label in range(len(dataset.classes))]
    fraction = min(chosen.sweep.fractions)
    counts = [kept_images(len(places), fraction) for places in members]
    trees = linkage_trees(
        x_ND,
        members,
        counts,
        method=chosen.linkage.method,
        backend=chosen.linkage.backend,
        settings=EngineSettings(device=worker.device.type),
    )
    kept = [
        places[representatives(x_ND[places], tree.labels(count))]
        for places, tree, count in zip(members, trees, counts, strict=True)
    ]
    return rows[np.sort(np.concatenate(kept))]


def _ended(accuracy: float, seconds: float, curve: Sequence[Point], steps: int) -> dict[str, Any]:
    return {
        "status": "finished",
        "accuracy": accuracy,
        "train_seconds": seconds,
        "curve": tuple(_points(curve, steps)),
    }


def _points(curve: Sequence[Point], steps: int) -> list[dict[str, Any]]:
    return [{**asdict(point), "percent": 100 * point.step / steps} for point in curve]

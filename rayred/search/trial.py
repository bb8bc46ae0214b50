"""A candidate of the search for settings: what it is trained on, and what judges it.

Legend: N training images, n of them not held out, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.groups import redundant_groups
from rayred.config import Candidate, Linkage, Sweep
from rayred.data.dataset import Dataset
from rayred.errors import ConfigError
from rayred.results.curve import Point
from rayred.training import Checkpoints, Outcome, Task, Worker, embed_images, train_model

EVALUATIONS = 10
"""About as many times is a candidate evaluated that may be stopped early."""


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
        The same training images, with those held out as the test split.
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


@dataclass(frozen=True)
class Judgement:
    """How candidates are judged."""

    fraction: float
    """Share of the images not held out that candidates are trained on: below 1, those that their
    own semantic subset keeps."""
    asha: bool
    """Whether candidates may be stopped early, so that they are evaluated while they train."""
    seed: int
    """Training seed."""

    @classmethod
    def of(cls, sweep: Sweep, seed: int) -> Self:
        """Return how the candidates of a search are judged.

        By trainings on all images that are not held out, unless the linkage is searched for, which
        makes a difference to semantic subsets only.
        """
        linkage = any(key.startswith("linkage.") for key in sweep.space)
        return cls(min(sweep.fractions) if linkage else 1.0, sweep.search.asha, seed)

    def recipe(self, candidate: Candidate, images: int) -> Candidate:
        """Return the candidate with evaluations as often as early stopping needs them."""
        if not self.asha:
            return candidate
        epochs = candidate.train.steps * candidate.train.batch_size / images
        every = max(1, round(epochs / EVALUATIONS))
        train = candidate.train.model_copy(update={"evaluate_every": every})
        return replace(candidate, train=train)


def train_candidate(
    candidate: Candidate,
    judgement: Judgement,
    dataset: Dataset,
    rows: NDArray[np.int64],
    worker: Worker,
    checkpoints: Checkpoints,
    progress: Callable[[float, dict[str, Any]], None],
) -> Outcome:
    """Train a candidate on the images that are not held out, or on its semantic subset of them.

    Parameters
    ----------
    candidate, judgement
        Its settings, and how it is judged.
    dataset, rows
        The two values of `hold_out`.
    worker
        Where it trains.
    checkpoints
        Where its checkpoint lies.
    progress
        Called with accuracy and point of the curve at every evaluation but the last.
    """
    steps = candidate.train.steps
    task = Task.for_dataset(candidate.model, dataset, candidate.train, judgement.seed)

    def report(point: Point) -> None:
        if point.test_accuracy is not None and point.step < steps:
            progress(point.test_accuracy, with_percent(point, steps))

    if judgement.fraction < 1:
        rows = _semantic_subset(candidate.linkage, judgement.fraction, task, dataset, rows, worker)
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
    return outcome


def with_percent(point: Point, steps: int) -> dict[str, Any]:
    """Return a point of a curve with the percentage of the training done."""
    return {**asdict(point), "percent": 100 * point.step / steps}


def _semantic_subset(
    linkage: Linkage,
    fraction: float,
    task: Task,
    dataset: Dataset,
    rows: NDArray[np.int64],
    worker: Worker,
) -> NDArray[np.int64]:
    """Return the semantic subset of `rows`, by a reference trained on them."""
    reference = train_model(task, dataset, rows, worker=worker)
    x_ND = embed_images(reference.model, dataset.train, worker.device)
    groups = redundant_groups(
        x_ND[rows],
        dataset.train.labels[rows],
        [fraction],
        linkage,
        device=worker.device.type,
        zero_rows="apart",
    )
    return rows[groups.kept[fraction]]

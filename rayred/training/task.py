"""A training as values: the task that it is given, and its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rayred.config import Train
from rayred.data.dataset import Dataset
from rayred.models import Classifier, ModelSpec
from rayred.results.curve import Point


@dataclass(frozen=True)
class Task:
    """A training to do: all of its settings but the images."""

    spec: ModelSpec
    recipe: Train
    seed: int
    """Decides initialisation, batch order and augmentation."""
    follow: bool = False
    """Whether to note how each training image is learned, see `rayred.training.learning`."""

    @classmethod
    def for_dataset(cls, model: str, dataset: Dataset, recipe: Train, seed: int) -> Task:
        """Return the task of training the network named `model` on images of a data set."""
        return cls(ModelSpec.for_dataset(model, dataset), recipe, seed)


@dataclass(frozen=True)
class Outcome:
    """A finished training."""

    test_accuracy: float
    """Share of test images classified correctly, 0 to 1."""
    train_seconds: float
    """Seconds spent on training steps, compiling included, without set-up and evaluation."""
    curve: tuple[Point, ...]
    """Points in order of their steps; the last one is evaluated."""
    model: Classifier
    """The trained network, on the device that it was trained on."""
    correct: NDArray[np.bool_]
    """(n_test,) bool, in data set order: the test images classified correctly at the end."""
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """(n_train,) how each training image was learned, by name, if the task wants it followed."""

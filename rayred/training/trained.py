"""A finished training apart from its process: its weights, its curve, and the file of both."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayred.models import Classifier, ModelSpec, build_model
from rayred.results.curve import Point
from rayred.training.task import Outcome, Task


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    test_accuracy: float
    """Share of test images classified correctly, 0 to 1."""
    train_seconds: float
    """Seconds spent on training steps."""
    curve: tuple[Point, ...]
    """Points in order of their steps; the last one is evaluated."""
    spec: ModelSpec
    """The model, apart from its weights."""
    weights: dict[str, Tensor]
    """State of the model, on the CPU."""
    correct: NDArray[np.bool_]
    """(n_test,) bool, in data set order: the test images classified correctly at the end."""
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """(n_train,) how each training image was learned, by name, if the task wants it followed."""

    @classmethod
    def of(cls, task: Task, outcome: Outcome) -> Trained:
        """Return the outcome of a task with its weights on the CPU."""
        weights = {name: value.cpu() for name, value in outcome.model.state_dict().items()}
        seconds, curve = outcome.train_seconds, outcome.curve
        return cls(
            outcome.test_accuracy,
            seconds,
            curve,
            task.spec,
            weights,
            outcome.correct,
            outcome.scores,
        )

    def model(self) -> Classifier:
        """Return the trained model, on the CPU and in evaluation mode."""
        return load_model(self.spec, self.weights)


def load_model(spec: ModelSpec, weights: Mapping[str, Tensor]) -> Classifier:
    """Return a network with the given weights, in evaluation mode."""
    model = build_model(spec)
    model.load_state_dict(dict(weights))
    return model.eval()


def save_trained(path: Path, trained: Trained) -> None:
    """Write a finished training to a file, weights included.

    Raises
    ------
    OSError
        The file cannot be written, for example because the disk is full.
    """
    plain = {
        "curve": [asdict(point) for point in trained.curve],
        "spec": asdict(trained.spec),
        "correct": torch.tensor(trained.correct),
        "scores": {name: torch.tensor(values) for name, values in trained.scores.items()},
    }
    # To memory first: on a full disk, torch.save itself raises an error that hides the cause.
    content = io.BytesIO()
    torch.save({**vars(trained), **plain}, content)
    path.write_bytes(content.getbuffer())


def load_trained(path: Path) -> Trained:
    """Return the training in a file that `save_trained` wrote."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    stored["curve"] = tuple(Point(**point) for point in stored["curve"])
    stored["spec"] = ModelSpec(**stored["spec"])
    stored["correct"] = stored["correct"].numpy()
    scores = stored.get("scores", {})  # which files of older versions lack
    stored["scores"] = {name: values.numpy() for name, values in scores.items()}
    return Trained(**stored)

"""What is left of a training when its workers are gone, and the file that it is kept in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from rayred.models import Classifier, ModelSpec
from rayred.training.loop import Point, load_model


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    test_accuracy: float
    """0 to 1."""
    train_seconds: float
    """Seconds spent on training steps."""
    curve: tuple[Point, ...]
    spec: ModelSpec
    """The model, apart from its weights."""
    weights: dict[str, torch.Tensor]
    """State of the model."""

    def model(self) -> Classifier:
        """Return the trained model, on the CPU and ready for evaluation."""
        return load_model(self.spec, self.weights)


def save_trained(path: Path, trained: Trained) -> None:
    """Write a finished training, weights included."""
    curve = [asdict(point) for point in trained.curve]
    torch.save({**vars(trained), "curve": curve, "spec": asdict(trained.spec)}, path)


def load_trained(path: Path) -> Trained:
    """Read what `save_trained` wrote."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    stored["curve"] = tuple(Point(**point) for point in stored["curve"])
    stored["spec"] = ModelSpec(**stored["spec"])
    return Trained(**stored)

"""What is left of a training when its workers are gone, and the file that it is kept in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from rayred.training.loop import Point


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    test_accuracy: float
    """0 to 1."""
    train_seconds: float
    """Seconds spent on training steps."""
    curve: tuple[Point, ...]
    weights: dict[str, torch.Tensor]
    """State of the model."""


def save_trained(path: Path, trained: Trained) -> None:
    """Write a finished training, weights included."""
    curve = [asdict(point) for point in trained.curve]
    torch.save({**vars(trained), "curve": curve}, path)


def load_trained(path: Path) -> Trained:
    """Read what `save_trained` wrote."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    stored["curve"] = tuple(Point(**point) for point in stored["curve"])
    return Trained(**stored)

"""A point of a training's curve, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """Where a training was after some of its steps."""

    step: int
    """Steps taken."""
    epoch: float
    """Passes over the training images, rounded to four digits."""
    train_loss: float
    """Mean loss over the steps since the previous point."""
    lr: float
    """Learning rate of the last step."""
    test_accuracy: float | None = None
    """Share of test images classified correctly, 0 to 1; None where it was not evaluated."""

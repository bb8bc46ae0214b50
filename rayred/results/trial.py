"""A trial of a sweep, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FULL = "full"
"""Name that stands for a selector in trainings on the full set."""


@dataclass(frozen=True)
class Trial:
    """One training of a sweep."""

    selector: str
    """Name of the selector, or ``full``."""
    fraction: float
    """Share of every class that is trained on."""
    trial: int
    """Number of the repetition, from 0."""
    seed: int
    """Training seed: the same for all trainings of one repetition."""
    subset: str
    """Name of the subset that is trained on."""

    @property
    def name(self) -> str:
        """``SELECTOR-FRACTION-TRIAL``."""
        return f"{self.selector}-{self.fraction!r}-{self.trial}"


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial."""

    trial: Trial
    n_train: int
    """Number of training images."""
    status: Literal["finished", "failed"]
    test_accuracy: float | None = None
    """0 to 1; None if the trial failed."""
    train_seconds: float | None = None
    """Seconds spent on training steps; None if the trial failed."""
    reason: str = ""
    """Why the trial failed."""
    curve: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    """Points of the training's curve: step, epoch, train_loss, lr, test_accuracy."""

    def describe(self) -> str:
        """Return the result in words."""
        if self.test_accuracy is None:
            return f"failed: {self.reason}"
        return f"accuracy {100 * self.test_accuracy:.2f} %, {self.train_seconds:.1f} s"

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TrialResult:
        """Return the result that `dataclasses.asdict` turned into JSON-like values."""
        trial, curve = Trial(**stored["trial"]), tuple(stored["curve"])
        return cls(**{**stored, "trial": trial, "curve": curve})

"""A trial of a sweep, and its result."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
    correct: str = field(default="", repr=False)
    """Which test images are classified correctly, see `pack_correct`; empty if it was not kept."""

    def correct_images(self, n_test: int) -> NDArray[np.bool_] | None:
        """Return which of the n test images are classified correctly, (n,) bool, in their order.

        None if it was not kept, or of another number of images.
        """
        packed = np.frombuffer(base64.b64decode(self.correct), np.uint8)
        if len(packed) != -(-n_test // 8):
            return None
        return np.unpackbits(packed, count=n_test).astype(np.bool_)

    def describe(self) -> str:
        """Return the result in words."""
        if self.test_accuracy is None:
            return f"failed: {self.reason}"
        return f"accuracy {100 * self.test_accuracy:.2f} %, {self.train_seconds:.1f} s"

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TrialResult:
        """Return the result that `dataclasses.asdict` turned into JSON-like values.

        Raises
        ------
        ValueError
            There is something else, or more, or less.
        """
        try:
            trial, curve = Trial(**stored["trial"]), tuple(stored["curve"])
            return cls(**{**stored, "trial": trial, "curve": curve})
        except (KeyError, TypeError) as error:
            raise ValueError(f"no result of a trial: {error}") from error


@dataclass(frozen=True)
class TestSplit:
    """The images that accuracies are measured on."""

    class_sizes: tuple[int, ...]
    """Number of images of each class."""

    @property
    def n(self) -> int:
        """Number of images."""
        return sum(self.class_sizes)


def pack_correct(correct: NDArray[np.bool_]) -> str:
    """Return an (n,) bool array as text: its bits, as `numpy.packbits` has them, in base64."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode("ascii")

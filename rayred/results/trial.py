"""A trial of a sweep, its result, and the test images that all trials are tested on.

>>> import numpy as np
>>> correct = np.array([True, False, True])
>>> trial = Trial("full", 1.0, trial=0, seed=0, subset="full-1.0")
>>> result = TrialResult(trial, 100, "finished", 2 / 3, 1.0, correct=pack_correct(correct))
>>> result.correct_images(n_test=3)
array([ True, False,  True])
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from rayred.config.sweep import GIVEN

FULL = "full"
"""Name that stands for a selector in trainings on the full set."""


def subject(selectors: Iterable[str]) -> str:
    """Return the selector whose subsets a study is about: ``given``, if it has one, or semantic."""
    return GIVEN if GIVEN in selectors else "semantic"


@with_config(ConfigDict(extra="forbid"))
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


@with_config(ConfigDict(extra="forbid"))
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
    """`pack_correct` of the test images classified correctly; empty where they are not kept."""

    def describe(self) -> str:
        """Return the result in words."""
        if self.test_accuracy is None:
            return f"failed: {self.reason}"
        return f"accuracy {100 * self.test_accuracy:.2f} %, {self.train_seconds:.1f} s"

    def correct_images(self, n_test: int) -> NDArray[np.bool_] | None:
        """Return which test images the network classified correctly; None where it is not kept.

        Parameters
        ----------
        n_test
            Number of test images.

        Returns
        -------
        correct
            (n_test,) bool, in data set order.

        Raises
        ------
        ValueError
            The result is of another number of images, or its text is damaged.
        """
        if not self.correct:
            return None
        packed = np.frombuffer(base64.b64decode(self.correct, validate=True), np.uint8)
        if len(packed) != (n_test + 7) // 8:
            raise ValueError(
                f"trial {self.trial.name}: its correct images are {len(packed)} bytes, not"
                f" {(n_test + 7) // 8} as of {n_test} test images"
            )
        return np.unpackbits(packed, count=n_test).astype(np.bool_)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> TrialResult:
        """Return the result that `dataclasses.asdict` turned into JSON-like values.

        Raises
        ------
        ValueError
            The values are not those of a result, as keys are unknown or missing.
        """
        try:
            return TypeAdapter(cls).validate_python(stored)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise ValueError(f"not a stored trial: {key}: {first['msg']}") from error


def pack_correct(correct: NDArray[np.bool_]) -> str:
    """Return which of the test images are classified correctly as text, a bit an image.

    Parameters
    ----------
    correct
        (n_test,) bool.

    Returns
    -------
    text
        Base64 of `numpy.packbits`.
    """
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


@dataclass(frozen=True)
class TestSplit:
    """The test images, as far as statistics need to know them."""

    class_sizes: tuple[int, ...]
    """Number of images of every class, in label order."""
    classes: tuple[str, ...] = ()
    """Class names, in label order; empty where they are not kept."""
    labels: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    """(n,) class of each image, in data set order; None where it is not kept."""

    @property
    def n(self) -> int:
        """Number of images."""
        return sum(self.class_sizes)

"""The finished trials of a cell, as the statistics take them.

Legend: T finished trials of a cell, n test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from rayred.results.trial import TrialResult
from rayred.verdict.crossed import Array, Group


@dataclass(frozen=True)
class Trials:
    """The finished trials of one selector at one fraction."""

    seeds: tuple[int, ...]
    """Training seed of each trial."""
    accuracies: Array
    """(T,) accuracy of each trial, 0 to 1."""
    correct: NDArray[np.bool_] | None
    """(T, n) which images each trial classifies correctly; None if it was not kept of all."""

    @classmethod
    def of(cls, results: Sequence[TrialResult], n: int | None) -> Trials:
        """Return the finished trials of some results.

        Parameters
        ----------
        results
            Trials, finished and failed.
        n
            Number of test images; None if it is unknown.
        """
        finished = [result for result in results if is_finished(result)]
        kept = [result.correct_images(n) if n else None for result in finished]
        images = [one for one in kept if one is not None]
        return cls(
            tuple(result.trial.seed for result in finished),
            np.array([result.test_accuracy for result in finished], dtype=np.float64),
            np.stack(images) if len(images) == len(finished) > 0 else None,
        )

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def group(self) -> Group:
        """The group of these trials, of which there has to be one."""
        return Group.of(self.accuracies, self.correct)


def agreement(ours: Trials, theirs: Trials) -> float:
    """Return the mean over the images of the product of two groups' shares of right trials.

    It is NaN if the results per image are not kept.
    """
    if ours.correct is None or theirs.correct is None:
        return np.nan
    return float((ours.correct.mean(axis=0) * theirs.correct.mean(axis=0)).mean())


def is_finished(result: TrialResult) -> bool:
    """Return whether a trial has an accuracy; NaN is none."""
    return result.test_accuracy is not None and isfinite(result.test_accuracy)


def why_failed(result: TrialResult) -> str:
    """Return why a trial has no accuracy."""
    return result.reason or "its test accuracy is not a number"

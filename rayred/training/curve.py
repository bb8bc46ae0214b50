"""The curve of a training: the steps after which it has a point, and those that are evaluated."""

from __future__ import annotations

import math

from rayred.config import Train

MAX_POINTS = 1000
"""Most points of a curve; a training of fewer epochs has one an epoch."""


def point_steps(recipe: Train, images: int) -> frozenset[int]:
    """Return the steps after which the curve has a point: the ends of epochs, and the last step.

    Parameters
    ----------
    recipe
        Steps and batch size.
    images
        Number of training images.
    """
    epoch = max(images / recipe.batch_size, recipe.steps / MAX_POINTS)
    ends = (math.ceil(count * epoch) for count in range(1, math.ceil(recipe.steps / epoch)))
    return frozenset(ends) | {recipe.steps}


def is_evaluated(recipe: Train, step: int, epoch: float, epoch_before: float) -> bool:
    """Return whether a point of the curve includes the test accuracy.

    Parameters
    ----------
    recipe
        Steps and epochs between two evaluations; the last step is always evaluated.
    step, epoch
        Steps and epochs up to this point.
    epoch_before
        Epochs up to the previous point, 0 at the first.
    """
    every = recipe.evaluate_every
    return step == recipe.steps or (every > 0 and epoch // every > epoch_before // every)

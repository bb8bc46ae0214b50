"""Why a table claims nothing, whatever the differences of its accuracies are."""

from __future__ import annotations

from math import ceil, log

import numpy as np
from scipy import stats

from rayred.results.trial import TestSplit
from rayred.verdict.comparison import LEVEL, half_image
from rayred.verdict.crossed import of_mean
from rayred.verdict.trials import Trials


def obstacle(test: TestSplit, full: Trials, margin: float, cells: int) -> str:
    """Return why nothing can be claimed; empty if there is no such reason.

    Parameters
    ----------
    test
        The test split, of at least one image.
    full
        The trials on the full set.
    margin
        The margin of equivalence, in percentage points.
    cells
        Number of cells that are compared with the full set.
    """
    if max(test.class_sizes) == test.n:
        return "all test images are of one class, so that accuracies say nothing"
    return _too_few_images(test.n, margin, LEVEL / max(1, cells)) or _at_chance(test, full)


def _too_few_images(n: int, margin: float, level: float) -> str:
    """Return why even trainings that agree on all test images would show nothing.

    If subsets lose a share m of all images there are, a test split of n has none of those with a
    chance of (1 - m)^n. Where that is above the level, agreement on all n is no evidence.
    """
    share = min(margin / 100, 1 - 1e-12)
    if (1 - share) ** n <= level:
        return ""
    needed = ceil(log(level) / log(1 - share))
    coarser = ceil(10_000 * (1 - level ** (1 / n))) / 100
    return (
        f"{n:,} test images are too few for a margin of ±{margin:g} points: even if all trainings"
        " agreed on every one of them, that could not place the difference within the margin. At"
        f" least {needed:,} test images are needed, or a verdict.margin of {coarser:g} or more"
    )


def _at_chance(test: TestSplit, full: Trials) -> str:
    """Return why the trainings on the full set have not been shown to learn anything."""
    if len(full) < 2:
        return ""  # there is no test yet, nor any claim
    group, chance = full.group, max(test.class_sizes) / test.n
    error, mean = of_mean(group, test.n), float(group.mean)
    deviation = np.sqrt(error.variance(len(full)))
    t = (mean - chance - half_image(test.n)) / deviation
    if stats.t.sf(t, error.freedom(len(full))) <= LEVEL:
        return ""
    return (
        f"the accuracy of {100 * mean:.2f} % on the full set is not shown to be above chance, the"
        f" {100 * chance:.2f} % of always answering the largest class, so that there is nothing"
        " that a subset could lose"
    )

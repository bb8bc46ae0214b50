"""How single classes fare in the cells of a table: pruning may hurt them unevenly.

These numbers describe; nothing is tested. The accuracy of each class is averaged over the trials of
a cell first, and the lowest average is the worst class. The mean of the trials' own minima would be
biased low by the noise of the trials: each trial picks the class that it happens to do worst on.
The lowest average still is somewhat too low, and the largest drop somewhat too large, because each
is picked out of C noisy numbers: compare the first with that of the full set, and both with the
number of test images of the class.

Legend: C classes.
"""

from __future__ import annotations

from dataclasses import replace

from rayred.results.classes import class_accuracies, lowest
from rayred.results.trial import TestSplit
from rayred.verdict.cells import Cell
from rayred.verdict.crossed import Array
from rayred.verdict.trials import Trials


def with_classes(cell: Cell, ours: Trials, full: Trials | None, test: TestSplit | None) -> Cell:
    """Return a cell with its worst class, and the class that loses most against the full set.

    Parameters
    ----------
    cell, ours
        A cell and its finished trials.
    full
        Those of the full set; None for its own cell, and where there is none.
    test
        The test images; None if nothing is known of them.

    Returns
    -------
    cell
        The same cell where it is not kept which test images each trial classifies correctly, or of
        which class they are.
    """
    means = _mean_accuracies(ours, test)
    if means is None or test is None:
        return cell
    name, accuracy = lowest(means, test)
    cell = replace(cell, worst_class=name, worst_class_accuracy=100 * accuracy)
    theirs = None if full is None else _mean_accuracies(full, test)
    if theirs is None:
        return cell
    name, difference = lowest(means - theirs, test)
    return replace(cell, most_lost_class=name, most_lost=100 * difference)


def _mean_accuracies(trials: Trials, test: TestSplit | None) -> Array | None:
    """Return the accuracy of each class, mean over the trials, (C,) 0 to 1; None if unknown."""
    accuracies = class_accuracies(trials.correct, test)
    return None if accuracies is None else accuracies.mean(axis=0)

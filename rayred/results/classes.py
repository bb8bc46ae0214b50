"""The accuracy of every class, and the class that is lowest.

Legend: C classes, T trials, n test images.

>>> import numpy as np
>>> from rayred.results.trial import TestSplit
>>> test = TestSplit((2, 1), ("cat", "dog"), np.array([0, 1, 0]))
>>> found = class_accuracies(np.array([True, True, False]), test)
>>> found, lowest(found, test)
(array([0.5, 1. ]), ('cat', 0.5))
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.results.trial import TestSplit, TrialResult


def class_accuracies(
    correct: NDArray[np.bool_] | None, test: TestSplit | None
) -> NDArray[np.float64] | None:
    """Return the accuracy on the test images of each class.

    Parameters
    ----------
    correct
        (..., n) which images are classified correctly, in data set order; None if unknown.
    test
        The test images; None if nothing is known of them.

    Returns
    -------
    accuracies
        (..., C) 0 to 1, NaN for a class without test images. None if it is not known which images
        are classified correctly, or which class each is of.

    Raises
    ------
    ValueError
        `correct` is of another number of images.
    """
    if correct is None or test is None or test.labels is None:
        return None
    n = len(test.labels)
    if correct.shape[-1] != n:
        raise ValueError(f"the results are of {correct.shape[-1]} test images, not of {n}")
    sizes = np.bincount(test.labels, minlength=len(test.classes))
    rows = correct.reshape(-1, n)
    right = [np.bincount(test.labels, row, minlength=len(sizes)) for row in rows]
    with np.errstate(invalid="ignore"):
        accuracies: NDArray[np.float64] = np.stack(right) / sizes
    return accuracies.reshape(*correct.shape[:-1], len(sizes))


def lowest(values: NDArray[np.float64], test: TestSplit) -> tuple[str, float]:
    """Return the name and value of the lowest class that has test images, the first of equal ones.

    Parameters
    ----------
    values
        (C,) a number of each class; NaN where it has no test images.
    test
        The test images.
    """
    label = int(np.nanargmin(values))
    return test.classes[label], float(values[label])


def worst_class(result: TrialResult, test: TestSplit | None) -> tuple[str, float] | None:
    """Return the name and accuracy, 0 to 1, of the class that one trial does worst on.

    Being the minimum of noisy numbers it is too low on average, the more so the fewer test images a
    class has: to compare subsets, use the class accuracies averaged over trials, as the cells of a
    verdict do.

    Returns
    -------
    class
        None if it is not known which images the trial classifies correctly, or their classes.
    """
    correct = result.correct_images(test.n) if test is not None and test.n else None
    accuracies = class_accuracies(correct, test)
    if accuracies is None or test is None:
        return None
    return lowest(accuracies, test)

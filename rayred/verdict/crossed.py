"""The error of mean accuracies over trials × test images, both random.

A trial is one training of many that could have been run; the test images are some of many that
could have been collected. A mean over T trials, all tested on the same n images, errs by both:
σ²_trials / T + σ²_images / n + σ²_rest / (n T). The components are estimated from mean squares, as
for readers × cases in multi-reader multi-case studies; none is taken as less than zero.

All functions work on arrays of any shape, one entry a group of trials. Accuracies are shares (0 to
1).

>>> import numpy as np
>>> right = np.array([[1, 1, 1, 0, 1, 1, 0, 1], [1, 1, 0, 0, 1, 1, 1, 1]], dtype=bool)
>>> group = Group.of(right.mean(axis=1), right)
>>> error = of_mean(group, n=8)
>>> error.variance(2) < error.variance(1)  # more trials help, down to the error of the images
np.True_

Source: Gallas, Bandos, Samuelson and Wagner, A framework for random-effects ROC analysis (2009);
Hillis, A marginal-mean ANOVA approach for analyzing multireader multicase radiological imaging data
(2014).

Legend: T trials of a group, n test images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
"""Numbers of any shape, one a group or comparison; NaN where there is none."""


@dataclass(frozen=True)
class Group:
    """What the error of the mean accuracy of a group of trials is computed from."""

    trials: Array
    """Number of trials."""
    mean: Array
    """Mean accuracy."""
    variance: Array
    """Variance (T − 1) of the trials' accuracies; NaN below two trials."""
    square: Array
    """Mean over the images of the squared share of trials that are right; NaN if not kept."""
    full_square: Array
    """Mean over images and trials of the squared result: the mean accuracy, as results are 0 or 1;
    of differences of results, the share that is not 0."""

    @classmethod
    def of(cls, accuracies_T: Array, results_Tn: NDArray[Any] | None = None) -> Group:
        """Return the group of some trials.

        Parameters
        ----------
        accuracies_T
            (T,) accuracies of the trials, or their differences.
        results_Tn
            (T, n) result of every trial on every image, 0 or 1, or differences of such results;
            None if it was not kept.
        """
        trials = len(accuracies_T)
        square = full_square = np.nan
        if results_Tn is not None:
            square = np.square(results_Tn.mean(axis=0)).mean()
            full_square = np.count_nonzero(results_Tn) / results_Tn.size
        variance = np.nan
        if trials > 1:
            # Not the rounding error of equal numbers.
            variance = accuracies_T.var(ddof=1) if np.ptp(accuracies_T) > 1e-12 else 0.0
        numbers = (trials, accuracies_T.mean(), variance, square, full_square)
        return cls(*(np.asarray(number, dtype=np.float64) for number in numbers))

    def residual(self, n: int) -> Array:
        """Return the mean square of the residuals: of results without trial and image effects."""
        of_trials = (self.trials - 1) / self.trials * self.variance
        rest = n * self.trials * (self.full_square - self.square - of_trials)
        return np.maximum(rest, 0) / ((self.trials - 1) * max(1, n - 1))


@dataclass(frozen=True)
class Error:
    """The error of a mean, or of a difference of the means of two groups of trials."""

    per_trial: tuple[Array, ...]
    """For each group the variance that its number of trials divides."""
    images: Array
    """Variance that is there however many trials there are: of the choice of the test images."""
    least: float = 0.0
    """The variance is not taken as smaller than this."""

    def variance(self, *trials: Any) -> Array:
        """Return the variance of the mean or difference for so many trials of each group."""
        parts = zip(self.per_trial, trials, strict=True)
        total = self.images + sum(variance / number for variance, number in parts)
        return np.asarray(np.maximum(total, self.least), dtype=np.float64)

    def freedom(self, *trials: Any) -> Array:
        """Return the degrees of freedom of that variance, for Student's t.

        Those of Satterthwaite, where the variance of the images counts as known, since images are
        many; but no more than the trials have. Without that limit they are too many in studies
        with a few trials that happen to have little spread.

        Source: Hillis, A comparison of denominator degrees of freedom methods for multiple observer
        ROC analysis (2007).
        """
        parts = list(zip(self.per_trial, trials, strict=True))
        most = sum(number - 1 for _, number in parts)
        below = sum((variance / number) ** 2 / (number - 1) for variance, number in parts)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self.variance(*trials) ** 2 / np.asarray(below, dtype=np.float64)
        return np.asarray(np.where(np.isnan(found), most, np.minimum(found, most)))


def of_mean(group: Group, n: int | None) -> Error:
    """Return the error of a group's mean accuracy.

    Two right and two wrong images are added to the test split, so that the error is not zero where
    all images are right, or all wrong. Where results per image are not kept, the error of the
    images is binomial: at least what it is.

    Source: Agresti and Coull, Approximate is better than 'exact' for interval estimation of
    binomial proportions (1998).
    """
    if n is None:
        return Error((group.variance,), np.zeros_like(group.mean))
    mean = (n * group.mean + 2) / (n + 4)
    binomial = mean * (1 - mean) / (n + 4)
    crossed = ((n * group.square + 2) / (n + 4) - mean**2) / (n + 3)
    return _with_images((group,), crossed, binomial, n)


def of_difference(ours: Group, theirs: Group, agreement: Array | float, n: int | None) -> Error:
    """Return the error of the difference of the mean accuracies of two groups.

    Trials are independent; images are paired where results per image are kept. One image that
    differs is added to the test split, half of it in either direction; to unpaired images a right
    and a wrong one.

    Parameters
    ----------
    ours, theirs
        The groups.
    agreement
        Mean over the images of the product of the groups' shares of trials that are right; NaN
        where they are not kept.
    n
        Number of test images; None if it is unknown: their error is left out.

    Source: Agresti and Min, Simple improved confidence intervals for comparing matched proportions
    (2005); Agresti and Caffo, Simple and effective confidence intervals for proportions and
    differences of proportions (2000).
    """
    if n is None:
        return Error((ours.variance, theirs.variance), np.zeros_like(ours.mean - theirs.mean))
    square = ours.square + theirs.square - 2 * agreement
    paired = _of_differing(square, ours.mean - theirs.mean, n)
    return _with_images((ours, theirs), paired, _unpaired(ours, theirs, n), n)


def of_pairs(pairs: Group, ours: Group, theirs: Group, n: int | None) -> Error:
    """Return the error of the difference of two groups whose trials are paired; see above.

    `pairs` is the group of the differences of paired trials, `ours` and `theirs` the two groups.
    """
    if n is None:
        return Error((pairs.variance,), np.zeros_like(pairs.mean))
    paired = _of_differing(pairs.square, pairs.mean, n)
    return _with_images((pairs,), paired, _unpaired(ours, theirs, n), n)


def _of_differing(square: Array, mean: Array, n: int) -> Array:
    """Return the variance of a mean difference over images, of which one more differs."""
    return ((n * square + 1) / (n + 2) - (n * mean / (n + 2)) ** 2) / (n + 1)


def _unpaired(ours: Group, theirs: Group, n: int) -> Array:
    """Return the variance of the difference of two accuracies on n images each, binomial."""
    first, second = ((n * group.mean + 1) / (n + 2) for group in (ours, theirs))
    return (first * (1 - first) + second * (1 - second)) / (n + 2)


def _with_images(groups: tuple[Group, ...], paired: Array, unpaired: Array, n: int) -> Error:
    """Split the variances of trials and of images into components, where results are kept.

    `paired` is the variance of the mean over images, residuals included.
    """
    residuals = [group.residual(n) / n for group in groups]
    rest = sum(one / group.trials for one, group in zip(residuals, groups, strict=True))
    kept = ~np.isnan(paired)
    images = np.where(kept, np.maximum(paired - rest, 0), unpaired)
    per_trial = [
        np.where(kept, np.maximum(group.variance, one), group.variance)
        for one, group in zip(residuals, groups, strict=True)
    ]
    return Error(tuple(per_trial), images)

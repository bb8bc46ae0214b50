"""How far the choice of images depends on the seed of the reference, and whether averaging helps.

The problem of `benchmarks.evidence.steps`: nine references that differ by their seeds alone, and
three means of three of them each: the mean of their cosine distances. Of all pairs of references
the overlap of their semantic subsets and the agreement of their groups; then trainings on the
subset of each reference, of each mean, and on some random ones.

    .venv/bin/python -m benchmarks.evidence.references parquet:TRAIN_GLOB --test TEST_GLOB

Legend: S subsets, T trials on each, N images.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as f_distribution
from scipy.stats import ttest_ind
from sklearn.metrics import adjusted_rand_score

from benchmarks.evidence import choices
from benchmarks.evidence.choices import PARTS, Embeddings
from benchmarks.evidence.steps import steps_at
from benchmarks.evidence.tables import CONFIDENCE, report
from benchmarks.evidence.trainings import (
    CLASSES,
    REFERENCE_SEED,
    Finished,
    Rows,
    Training,
    arguments,
    finished,
    some_classes,
    train_missing,
)
from rayred.linkage.rows import as_unit_rows

SINGLES, MEANS, RANDOMS = "reference", "mean", "random"
"""The names of arms, before a number."""
COUNTS = {SINGLES: 9, MEANS: 3, RANDOMS: 5}
"""Subsets of each kind."""
FRACTIONS = (0.9, 0.7)
STEPS = steps_at(8)
"""Of the references."""
TRAINED = steps_at(2)
"""Steps of the trainings on the subsets."""
TRIALS = 5


def planned() -> list[Training]:
    """Return all trainings."""
    arms = [f"{kind} {number}" for kind, count in COUNTS.items() for number in range(count)]
    return [Training(arm, FRACTIONS[-1], TRAINED, seed) for seed in range(TRIALS) for arm in arms]


def spaces_of(singles: list[Embeddings]) -> dict[str, Embeddings]:
    """Return the space of each reference and of each mean, by arm.

    The distance of rows of length 1 side by side is the mean of their distances.
    """
    units = [as_unit_rows(x) for x in singles]
    size = len(singles) // COUNTS[MEANS]
    return {f"{SINGLES} {number}": x for number, x in enumerate(singles)} | {
        f"{MEANS} {number}": np.concatenate(
            units[number * size : (number + 1) * size], axis=1
        ).astype(np.float32)
        for number in range(COUNTS[MEANS])
    }


def accuracies(done: list[Finished], kind: str) -> NDArray[np.float64]:
    """Return (S, T) accuracies, in percent, of trainings on the subsets of one kind."""
    found = {(one.training.arm, one.training.seed): one.accuracy for one in done}
    arms = [f"{kind} {number}" for number in range(COUNTS[kind])]
    return np.array([[found[arm, seed] for seed in range(TRIALS)] for arm in arms])


def between_subsets(accuracy_ST: NDArray[np.float64]) -> dict[str, Any]:
    """Return how far subsets of one kind differ by more than their trials do, in points.

    An analysis of variance with random subsets, and seeds as blocks. "within" is the standard
    deviation of trials on one subset; "between" that of subsets, with the 90 % interval of the
    ratio of the two times "within"; p is small if subsets differ.

    Source: Searle, Casella and McCulloch, Variance Components (1992).
    """
    subsets, trials = accuracy_ST.shape
    free = subsets - 1, (subsets - 1) * (trials - 1)
    of_subsets, of_seeds = (accuracy_ST.mean(axis=axis, keepdims=True) for axis in (1, 0))
    within = np.square(accuracy_ST - of_subsets - of_seeds + accuracy_ST.mean()).sum() / free[1]
    ratio = trials * of_subsets.var(ddof=1) / within
    limits = [1.0, *(f_distribution.ppf(share, *free) for share in (0.95, 0.05))]
    between = [np.sqrt(max(0.0, ratio / limit - 1) * within / trials) for limit in limits]
    return {
        "mean": round(float(accuracy_ST.mean()), 2),
        "between": [round(float(value), 2) for value in between],
        "within": round(float(np.sqrt(within)), 2),
        "p": round(float(f_distribution.sf(ratio, *free)), 4),
    }


def mean_minus_single(done: list[Finished]) -> dict[str, Any]:
    """Return what means of references gain over single ones, in points.

    Of the mean accuracies of subsets, with a 90 % interval and p of Welch's test: the unit is a
    subset, not a trial. That each mean is of three of the single ones is not allowed for.
    """
    means, singles = (accuracies(done, kind).mean(axis=1) for kind in (MEANS, SINGLES))
    found = ttest_ind(means, singles, equal_var=False)
    interval = found.confidence_interval(CONFIDENCE)
    values = means.mean() - singles.mean(), interval.low, interval.high
    return {
        "difference": [round(float(value), 2) for value in values],
        "p": round(float(found.pvalue), 4),
    }


def overlaps(spaces: Mapping[str, Embeddings], labels: Rows, fraction: float) -> dict[str, Any]:
    """Return how much is in the semantic subsets of two references: mean, lowest, highest.

    Parameters
    ----------
    spaces
        (N, D) embeddings by arm.
    labels
        (N,) class of each image.
    fraction
        Share of every class that is kept.

    Returns
    -------
    dict
        Images that both keep, of those that either does: observed; if they were chosen at random;
        and if in every tenth of a class by sparsity as many as they do keep, but at random. And
        the adjusted Rand index of the redundant groups.
    """
    singles = {arm: x for arm, x in spaces.items() if arm.startswith(SINGLES)}
    kept = {arm: choices.semantic(x, labels, fraction) for arm, x in singles.items()}
    groups = {arm: choices.groups_of(x, labels, fraction) for arm, x in singles.items()}
    mean = spaces[f"{MEANS} 0"]
    cells = labels * PARTS + choices.sparsity_parts(mean, labels, mean, labels)
    sizes = np.bincount(cells)
    shares = {arm: np.bincount(cells[rows], minlength=len(sizes)) for arm, rows in kept.items()}
    pairs = list(combinations(singles, 2))
    both = [float((shares[a] * shares[b] / sizes).sum()) for a, b in pairs]
    count = len(kept[f"{SINGLES} 0"])
    observed = [len(np.intersect1d(kept[a], kept[b])) for a, b in pairs]
    return {
        "overlap": _of_pairs([number / (2 * count - number) for number in observed]),
        "overlap at random": round(fraction / (2 - fraction), 3),
        "overlap by sparsity": _of_pairs([number / (2 * count - number) for number in both]),
        "agreement of groups": _of_pairs(
            [adjusted_rand_score(groups[a], groups[b]) for a, b in pairs]
        ),
    }


def main() -> None:
    """Do what is missing, print a table and write JSON."""
    given = arguments(__doc__, "runs/evidence/references").parse_args()
    dataset = some_classes(given.dataset, given.test, CLASSES, given.out)
    labels = dataset.train.labels
    singles = [
        choices.reference(dataset, given.out, STEPS, REFERENCE_SEED + number)["mean_train"]
        for number in range(COUNTS[SINGLES])
    ]
    spaces = spaces_of(singles)
    subsets = {arm: choices.semantic(x, labels, FRACTIONS[-1]) for arm, x in spaces.items()}
    for number in range(COUNTS[RANDOMS]):
        rng = np.random.default_rng(number)
        subsets[f"{RANDOMS} {number}"] = choices.at_random(labels, FRACTIONS[-1], rng)
    train_missing(planned(), lambda one: subsets[one.arm], given.out, given.processes)
    done = finished(given.out, dataset)
    figures: dict[str, Any] = {
        kind: between_subsets(accuracies(done, kind)) for kind in (SINGLES, MEANS, RANDOMS)
    }
    figures["mean minus single"] = mean_minus_single(done)
    figures |= {f"{fraction:g}": overlaps(spaces, labels, fraction) for fraction in FRACTIONS}
    for name, found in figures.items():
        print(name, found)
    report("evidence_references", done, figures)


def _of_pairs(values: list[float]) -> list[float]:
    """Return mean, lowest and highest."""
    return [round(float(value), 3) for value in (np.mean(values), min(values), max(values))]


if __name__ == "__main__":
    main()

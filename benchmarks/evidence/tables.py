"""Accuracies of many trainings, by what they have in common.

Legend: M test images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from benchmarks.evidence.trainings import CLASSES, PRECISION, Finished
from benchmarks.record import print_table, write_results
from rayred.verdict.crossed import Group, of_pairs

CONFIDENCE = 0.9

Table = list[dict[str, Any]]
"""Rows of `by_cell`."""


def interval(values: NDArray[np.float64]) -> list[float]:
    """Return the mean of trials and the ends of its confidence interval; of one trial the mean."""
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return [mean]
    half = float(student.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return [mean, mean - half, mean + half]


def by_cell(done: list[Finished]) -> Table:
    """Return accuracies by arm, fraction and steps, and differences to others, in points.

    Differences are of trials with the same seed, two at least: see `difference`.
    """
    cells: dict[tuple[str, float, int], list[Finished]] = {}
    for one in done:
        key = one.training.arm, one.training.fraction, one.training.steps
        cells.setdefault(key, []).append(one)
    rows = []
    for (arm, fraction, steps), mine in sorted(cells.items()):
        values = np.array([one.accuracy for one in mine])
        row: dict[str, Any] = {"arm": arm, "fraction": fraction, "steps": steps, "n": len(values)}
        row |= {"accuracy": round(float(values.mean()), 2)}
        row |= {"deviation": round(float(values.std(ddof=1)), 2) if len(values) > 1 else None}
        fitted = [one.fitted for one in mine if one.fitted is not None]
        if fitted:
            row["fitted"] = round(float(np.mean(fitted)), 1)
        others = {"full": 1.0, "random": fraction}
        if arm != "random":
            others["semantic"] = fraction
        for name, share in others.items():
            found = difference(mine, cells.get((name, share, steps), []))
            if arm not in (name, "full") and found:
                row[f"minus {name}"] = found
        rows.append(row)
    return rows


def difference(
    ours: Iterable[Finished],
    theirs: Iterable[Finished],
    images: NDArray[np.bool_] | slice = slice(None),
) -> list[float]:
    """Return the mean difference of trials with the same seed and the ends of its interval, points.

    The interval contains the error of the trials and of the test images. It is empty with fewer
    than two such trials.

    Parameters
    ----------
    ours, theirs
        Trainings, each with another seed.
    images
        (M,) the test images that count.
    """
    by_seed = {one.training.seed: one.correct[images] for one in theirs}
    pairs = [(one.correct[images], by_seed.get(one.training.seed)) for one in ours]
    paired = [(a, b) for a, b in pairs if b is not None]
    if len(paired) < 2:
        return []
    first, second = np.array(paired).transpose(1, 0, 2)
    change = first.astype(np.int8) - second
    differing, *groups = (Group.of(one.mean(axis=1), one) for one in (change, first, second))
    error = of_pairs(differing, groups[0], groups[1], first.shape[1])
    trials = len(paired)
    quantile = student.ppf((1 + CONFIDENCE) / 2, float(error.freedom(trials)))
    mean, half = float(differing.mean), float(quantile * np.sqrt(error.variance(trials)))
    return [round(100 * value, 2) for value in (mean, mean - half, mean + half)]


def print_rows(rows: Table) -> None:
    """Print a table of rows, some of which have columns that others lack."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    print_table(header, [[str(row.get(key, "")) for key in header] for row in rows])


def report(
    name: str, done: list[Finished], more: Mapping[str, Any] = MappingProxyType({})
) -> Table:
    """Print a table of the trainings of a study, write it and more to JSON, and return it."""
    rows = by_cell(done)
    print_rows(rows)
    figures = {"classes": CLASSES, "precision": PRECISION, "rows": rows, **more}
    figures["trials"] = [one.trial() for one in done]
    print(f"written to {write_results(name, figures)}")
    return rows

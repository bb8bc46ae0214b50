"""Accuracies of many trainings, by what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from benchmarks.evidence.trainings import CLASSES, PRECISION, Finished
from benchmarks.record import print_table, write_results

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

    Differences are of trials with the same seed, two at least.
    """
    cells: dict[tuple[str, float, int], dict[int, float]] = {}
    fitted: dict[tuple[str, float, int], list[float]] = {}
    for one in done:
        key = one.training.arm, one.training.fraction, one.training.steps
        cells.setdefault(key, {})[one.training.seed] = one.accuracy
        if one.fitted is not None:
            fitted.setdefault(key, []).append(one.fitted)
    rows = []
    for (arm, fraction, steps), by_seed in sorted(cells.items()):
        values = np.array(list(by_seed.values()))
        row: dict[str, Any] = {"arm": arm, "fraction": fraction, "steps": steps, "n": len(values)}
        row |= {"accuracy": round(float(values.mean()), 2)}
        row |= {"deviation": round(float(values.std(ddof=1)), 2) if len(values) > 1 else None}
        if (arm, fraction, steps) in fitted:
            row["fitted"] = round(float(np.mean(fitted[arm, fraction, steps])), 1)
        for name, other in (("full", ("full", 1.0)), ("random", ("random", fraction))):
            against = cells.get((*other, steps), {})
            seeds = sorted(by_seed.keys() & against.keys())
            if arm not in (name, "full") and len(seeds) > 1:
                differences = np.array([by_seed[seed] - against[seed] for seed in seeds])
                row[f"minus {name}"] = [round(value, 2) for value in interval(differences)]
        rows.append(row)
    return rows


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

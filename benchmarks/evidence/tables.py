"""Accuracies of many trainings, by what they have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from benchmarks.evidence.trainings import Finished
from benchmarks.record import print_table

CONFIDENCE = 0.9


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean of trials and the ends of its confidence interval."""
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return mean, float("nan"), float("nan")
    half = student.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return mean, mean - float(half), mean + float(half)


def by_cell(done: list[Finished]) -> list[dict[str, Any]]:
    """Return accuracies by arm, fraction and steps, and differences to others, in points.

    Differences are of trials with the same seed.
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
            if arm not in (name, "full") and seeds:
                differences = np.array([by_seed[seed] - against[seed] for seed in seeds])
                row[f"minus {name}"] = [round(value, 2) for value in interval(differences)]
        rows.append(row)
    return rows


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print a table of rows, some of which have columns that others lack."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    print_table(header, [[str(row.get(key, "")) for key in header] for row in rows])

"""Calibration of the verdict: how often it says what, on simulated studies.

Accuracies are normal around 90 % with the paper's spread of 0.2 points; the margin is 0.25 points.
A study is wrong if it calls a subset equivalent whose true drop is the margin.

    .venv/bin/python -m benchmarks.verdict
"""

from __future__ import annotations

import gc
from itertools import product

import numpy as np

from benchmarks.record import print_table, write_results
from rayred.results.trial import Trial, TrialResult
from rayred.verdict.comparison import power_of_equivalence
from rayred.verdict.judge import judge

SPREAD = 0.2
MARGIN = 0.25
FRACTIONS = (0.9, 0.8, 0.7)
STUDIES = 4_000


def equivalent_share(drop: float, trials: int, fractions: tuple[float, ...], seed: int) -> float:
    """Return the share of studies with a subset that is called equivalent, all losing `drop`."""
    rng = np.random.default_rng(seed)
    plan = [
        Trial("full" if fraction == 1 else "semantic", fraction, number, number, "")
        for fraction in (1.0, *fractions)
        for number in range(trials)
    ]
    found = 0
    for _ in range(STUDIES):
        results = [
            TrialResult(
                trial,
                1,
                "finished",
                rng.normal(90 - drop * (trial.fraction < 1), SPREAD) / 100,
            )
            for trial in plan
        ]
        cells = judge("simulated", results, MARGIN).cells
        found += any(cell.outcome == "equivalent" for cell in cells)
    return found / STUDIES


def main() -> None:
    """Simulate, print a table and write JSON."""
    gc.freeze()  # statsmodels collects garbage in every correction
    rows: list[list[str]] = []
    for drop, trials, count in product((MARGIN, 0.0), (5, 10, 20), (1, len(FRACTIONS))):
        share = equivalent_share(drop, trials, FRACTIONS[:count], seed=len(rows))
        stated = "at most 5 %"
        if drop == 0:
            power = power_of_equivalence(trials, SPREAD, MARGIN)
            stated = f"{100 * power:.1f} %" if count == 1 else "–"
        rows.append([f"{drop:g}", str(trials), str(count), f"{100 * share:.1f} %", stated])
    header = ["true drop", "trials", "fractions", "called equivalent", "should be"]
    print_table(header, rows)
    path = write_results("verdict", {"spread": SPREAD, "studies": STUDIES, "rows": rows})
    print(f"written to {path}")


if __name__ == "__main__":
    main()

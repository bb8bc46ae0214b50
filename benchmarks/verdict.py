"""Calibration of the verdict: tables with a false claim, and true claims that are made.

Tables are simulated with known differences from the full set and judged by the functions that
`judge` calls. 10,000 test images, of which 300 are right in half of the trainings; of the others,
each subset turns 0.3 % from right to wrong and as many from wrong to right in all its trials, and
more by its true difference. A training's accuracy has a standard deviation of 0.2 points, as in the
paper. The margin is 0.25 points, and once more 0.5.

    .venv/bin/python -m benchmarks.verdict

Legend: S simulated tables, K cells of a table, G = K + 1 with the full set, T trials of a cell.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import print_table, write_results
from rayred.verdict.claims import corrected
from rayred.verdict.comparison import LEVEL, compare
from rayred.verdict.crossed import Group

Array = NDArray[np.float64]

TABLES = 20_000
CHUNK = 500
TRIALS = (3, 5, 10)
IMAGES, UNSURE, TURNED, ACCURACY = 10_000, 300, 0.003, 0.9
SPREAD, MARGINS = 0.002, (0.0025, 0.005)


@dataclass(frozen=True)
class Mix:
    """True drops of the cells of a table, in margins: first those of semantic, then of random."""

    drops: tuple[float, ...]
    spreads: float = 1.0
    """Standard deviation of the subsets' trials, in that of the full set's."""
    agree: bool = False
    """Whether all trainings agree on all images but those of the true difference."""

    def __str__(self) -> str:
        half = len(self.drops) // 2
        parts = [self.drops[:half], self.drops[half:]] if half else [self.drops]
        text = " / ".join(", ".join(f"{drop:g}" for drop in part) for part in parts)
        text += f"; subsets spread ×{self.spreads:g}" if self.spreads != 1 else ""
        return text + ("; no spread" if self.agree else "")


MIXES = (
    Mix((0,)),
    Mix((1,)),
    Mix((0, 0, 0, 0, 0, 0)),
    Mix((1, 1, 1, 1, 1, 1)),
    Mix((2, 2, 2, 2, 2, 2)),
    Mix((-1, -1, -1, -1, -1, -1)),
    Mix((0, 0, 0, 1, 1, 1)),
    Mix((0, 0.5, 1, 0, 0, 1)),
    Mix((0, 1, 2, 0, 1, 2)),
    Mix((0.5, 1, 2, 0, 0, 0)),
    Mix((-0.25, 0, 1, -0.25, 0, 1)),
    Mix((0.5, 0.5, 0.5, 0.5, 0.5, 1)),
    Mix((1, 8, 8, 8, 8, 8)),
    Mix((0, 1, 8, 0, 1, 8)),
    Mix((1, 1, 1, 1, 1, 1), spreads=3),
    Mix((0, 0, 0, 1, 1, 1), spreads=3),
    Mix((1, 1, 1, 1, 1, 1), spreads=0.33),
    Mix((0, 0, 0, 0, 0, 0), agree=True),
    Mix((1, 1, 1, 1, 1, 1), agree=True),
    Mix((0, 1, 2, 0, 1, 2), agree=True),
)


@dataclass(frozen=True)
class Tables:
    """Simulated tables: what the statistics need to know of all cells and the full set."""

    cells: Group
    """Numbers of shape (S, K)."""
    full: Group
    """Numbers of shape (S, 1)."""
    agreement: Array
    """(S, K)"""


def simulate(mix: Mix, margin: float, trials: int, tables: int, rng: np.random.Generator) -> Tables:
    """Return simulated tables of some true drops."""
    unsure = 0 if mix.agree else UNSURE
    groups = len(mix.drops) + 1
    # The spread of a training is that of the images it is not sure of, and its own.
    of_images = unsure * 0.25 / IMAGES**2
    spread_G = SPREAD * np.array([1.0] + [mix.spreads] * len(mix.drops))
    own_G = np.sqrt(np.maximum(spread_G**2 - of_images, 0)) * (not mix.agree)
    lift = rng.normal(size=(tables, groups, trials)) * own_G[:, None] * IMAGES / UNSURE
    chance = (0.5 + lift).astype(np.float32)[..., None]
    right = rng.random((tables, groups, trials, unsure), dtype=np.float32) < chance
    share_SGU = right.mean(axis=2, dtype=np.float32)
    turned = 0.0 if mix.agree else TURNED
    lost, gained = (
        rng.binomial(
            IMAGES, [0.0] + [turned + max(0.0, sign * d * margin) for d in mix.drops], size
        )
        for sign, size in ((1, (tables, groups)), (-1, (tables, groups)))
    )
    sure = rng.binomial(IMAGES - unsure, ACCURACY, (tables, 1))
    accuracy_SGT = (right.sum(axis=3) + (sure - lost + gained)[..., None]) / IMAGES
    square = (np.square(share_SGU).sum(axis=2) + sure - lost + gained) / IMAGES
    both = np.einsum("sgu,su->sg", share_SGU, share_SGU[:, 0]) + sure - lost
    mean, variance = accuracy_SGT.mean(axis=2), accuracy_SGT.var(axis=2, ddof=1)
    variance[variance < 1e-16] = 0.0
    numbers = (np.full_like(mean, trials), mean, variance, square, mean)
    full, cells = (Group(*(one[:, part] for one in numbers)) for part in (slice(1), slice(1, None)))
    return Tables(cells, full, both[:, 1:] / IMAGES)


def judged(tables: Tables, margin: float, paired: bool) -> tuple[Array, Array, Array, Array]:
    """Return the p-values of both claims as `judge` has them, not corrected and corrected."""
    agreement = tables.agreement if paired else np.full_like(tables.agreement, np.nan)
    test = compare(tables.cells, tables.full, margin, agreement, IMAGES)
    return test.p_equivalent, test.p_worse, *corrected(test.p_equivalent, test.p_worse)


def as_before(tables: Tables, margin: float) -> tuple[Array, Array]:
    """Return the p-values of rayred before: Welch's without images, corrected by selector."""
    test = compare(tables.cells, tables.full, margin)
    difference = test.difference
    equivalent = np.where(
        np.isnan(test.p_equivalent), np.abs(difference) >= margin - 1e-12, test.p_equivalent
    )
    worse = np.where(np.isnan(test.p_worse), difference >= 0, test.p_worse)
    return by_selector(equivalent), by_selector(worse)


def by_selector(p_SK: Array) -> Array:
    """Return p-values of one claim corrected by Holm's procedure within each of two selectors."""
    selectors = np.split(p_SK, 2, axis=-1) if p_SK.shape[-1] > 1 else [p_SK]
    return np.concatenate([holm(one) for one in selectors], axis=-1)


def holm(p_SK: Array) -> Array:
    """Return p-values corrected by Holm's procedure, table by table."""
    order = np.argsort(p_SK, axis=-1)
    steps = np.arange(p_SK.shape[-1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(p_SK, order, -1) * steps, axis=-1)
    corrected_SK = np.empty_like(p_SK)
    np.put_along_axis(corrected_SK, order, np.minimum(stepped, 1), -1)
    return corrected_SK


def shares(mix: Mix, equivalent: Array, worse: Array) -> tuple[float, float]:
    """Return the number of tables with a false claim, and of true claims made, over all tables."""
    drops = np.array(mix.drops)
    says_equivalent = equivalent <= LEVEL
    says_worse = (worse <= LEVEL) & ~says_equivalent
    true = says_equivalent & (np.abs(drops) < 1) | says_worse & (drops > 0)
    false = (says_equivalent | says_worse) & ~true
    return float(false.any(axis=-1).sum()), float(true.sum())


def measure(mix: Mix, margin: float, trials: int) -> dict[str, Any]:
    """Return the shares of all ways to judge tables of some true drops."""
    rng = np.random.default_rng(trials)
    sums: dict[str, Array] = {}
    for _ in range(TABLES // CHUNK):
        tables = simulate(mix, margin, trials, CHUNK, rng)
        raw_equivalent, raw_worse, *now = judged(tables, margin, paired=True)
        both = holm(np.concatenate([raw_equivalent, raw_worse], axis=-1))
        ways = {
            "before": as_before(tables, margin),
            "images, by selector": (by_selector(raw_equivalent), by_selector(raw_worse)),
            "images, holm over all claims": np.split(both, 2, axis=-1),
            "now": now,
            "now, images not kept": judged(tables, margin, paired=False)[2:],
        }
        for way, (equivalent, worse) in ways.items():
            found = np.array(shares(mix, equivalent, worse))
            sums[way] = sums.get(way, np.zeros(2)) + found
    claimable = sum(drop > -1 for drop in mix.drops)  # of a gain by the margin nothing is true
    return {
        way: {
            "false": false / TABLES,
            "power": true / (TABLES * claimable) if claimable else None,
        }
        for way, (false, true) in sums.items()
    }


def _columns(found: list[dict[str, Any]]) -> list[str]:
    """Return for each share and way to judge the percentages by number of trials."""
    return [
        " / ".join(
            "–" if one[way][what] is None else f"{100 * one[way][what]:.1f}" for one in found
        )
        for what in ("false", "power")
        for way in found[0]
    ]


def main() -> None:
    """Simulate, print a table and write JSON."""
    start = time.process_time()
    rows, figures = [], []
    for margin in MARGINS:
        for mix in MIXES:
            found = {trials: measure(mix, margin, trials) for trials in TRIALS}
            facts = {"margin": 100 * margin, "drops": str(mix)}
            figures += [{**facts, "trials": trials, **found[trials]} for trials in TRIALS]
            rows.append([f"{100 * margin:g}", str(mix), *_columns(list(found.values()))])
    ways = [f"{what}: {way}" for what in ("false", "power") for way in found[TRIALS[0]]]
    print_table(["margin", "drops in margins", *ways], rows)
    worst = max(one["now"]["false"] for one in figures)
    print(f"tables with a false claim: at most {100 * worst:.1f} %")
    seconds = time.process_time() - start
    settings = {"tables": TABLES, "images": IMAGES, "spread": 100 * SPREAD}
    path = write_results("verdict", {**settings, "cpu_seconds": round(seconds), "rows": figures})
    print(f"{seconds:.0f} s of CPU time; written to {path}")


if __name__ == "__main__":
    main()

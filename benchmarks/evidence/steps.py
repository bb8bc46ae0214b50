"""Accuracy against the length of training: when a semantic subset does worse than a random one.

ResNet-8 on three classes of CIFAR-10, from one epoch to 32: all images, and 90 and 70 % of
every class, semantic or random, at equal steps. The reference is trained for 16 epochs. At
two lengths, 70 % are also chosen in other ways: by a short reference, by features pooled by
their largest values, a random image of each group, groups at one height in all classes.

    .venv/bin/python -m benchmarks.evidence.steps parquet:TRAIN_GLOB --test TEST_GLOB
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.evidence import choices
from benchmarks.evidence.choices import PARTS
from benchmarks.evidence.tables import Table, report
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
from benchmarks.record import RESULTS
from rayred.data.dataset import Dataset

BASE = 234
"""Steps of two epochs of 15,000 images, in batches of 128."""
MULTIPLES = (0.5, 1, 2, 4, 8, 16)
"""Of those steps; the most are for all images and 70 % alone."""
LONG, SHORT = 8, 1
"""Multiples that references are trained for."""
FRACTIONS = (0.9, 0.7)
TRIALS = 5
VARIANTS = ("short reference", "largest pooled", "random of group", "common height")
VARIED_AT = (2, 8)
"""Multiples at which 70 % are chosen in other ways too."""
COLOURS = {
    "full": "black",
    "semantic": "tab:blue",
    "random": "tab:orange",
    "short reference": "tab:green",
    "largest pooled": "tab:red",
    "random of group": "tab:cyan",
    "common height": "tab:purple",
}
STYLES = {0.9: "-", 0.7: "--"}
POINTS: dict[str, Any] = {"marker": "o", "markersize": 3, "capsize": 2}


def steps_at(multiple: float) -> int:
    """Return the steps of a training."""
    return round(multiple * BASE)


def planned() -> list[Training]:
    """Return all trainings: short ones first, then those of other choices, the longest last."""
    arms = [("full", 1.0), *((arm, f) for arm in ("semantic", "random") for f in FRACTIONS)]
    without_90 = [(arm, fraction) for arm, fraction in arms if fraction != FRACTIONS[0]]
    others = [(arm, FRACTIONS[-1]) for arm in VARIANTS]
    return [
        Training(arm, fraction, steps_at(multiple), seed)
        for multiples, chosen in (
            (MULTIPLES[:-1], arms),
            (VARIED_AT, others),
            (MULTIPLES[-1:], without_90),
        )
        for multiple in multiples
        for seed in range(TRIALS)
        for arm, fraction in chosen
    ]


class Subsets:
    """The images of every arm, chosen once."""

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self.labels = dataset.train.labels
        self.long, self.short = (
            choices.reference(dataset, folder, steps_at(multiple), REFERENCE_SEED)
            for multiple in (LONG, SHORT)
        )
        self._chosen: dict[tuple[str, float, int], Rows] = {}

    def rows_of(self, training: Training) -> Rows:
        """Return the images of a training."""
        seed = training.seed if training.arm in ("random", "random of group") else 0
        key = training.arm, training.fraction, seed
        if key not in self._chosen:
            self._chosen[key] = self._choose(*key)
        return self._chosen[key]

    def _choose(self, arm: str, fraction: float, seed: int) -> Rows:
        rng = np.random.default_rng([zlib.crc32(arm.encode()), round(100 * fraction), seed])
        if arm == "full":
            return np.arange(len(self.labels))
        if arm == "random":
            return choices.at_random(self.labels, fraction, rng)
        if arm == "common height":
            return choices.at_common_height(self.long["mean_train"], self.labels, fraction)
        reference = self.short if arm == "short reference" else self.long
        x = reference["largest_train" if arm == "largest pooled" else "mean_train"]
        return choices.semantic(x, self.labels, fraction, rng if arm == "random of group" else None)


def by_sparsity(done: list[Finished], subsets: Subsets, dataset: Dataset) -> dict[str, Any]:
    """Return what subsets keep, and where trainings on them are right, from dense to sparse."""
    x, labels = subsets.long["mean_train"], dataset.train.labels
    train_part = choices.sparsity_parts(x, labels, x, labels)
    test_part = choices.sparsity_parts(subsets.long["mean_test"], dataset.test.labels, x, labels)
    figures: dict[str, Any] = {"kept": {}, "nearest kept": {}, "accuracy": {}}
    for arm in ("semantic", "random", *VARIANTS):
        rows = subsets.rows_of(Training(arm, FRACTIONS[-1], 0, 0))
        kept = np.bincount(train_part[rows], minlength=PARTS) / np.bincount(train_part)
        distance = choices.nearest_kept(x, labels, rows)
        figures["kept"][arm] = np.round(kept, 3).tolist()
        figures["nearest kept"][arm] = [
            float(f"{distance[train_part == part].mean():.2g}") for part in range(PARTS)
        ]
    for one in done:
        arm, fraction, steps = one.training.arm, one.training.fraction, one.training.steps
        right = [100 * one.correct[test_part == part].mean() for part in range(PARTS)]
        figures["accuracy"].setdefault(f"{arm} {fraction:g}, {steps} steps", []).append(right)
    figures["accuracy"] = {
        name: np.round(np.mean(values, axis=0), 1).tolist()
        for name, values in sorted(figures["accuracy"].items())
    }
    return figures


def plot(rows: Table, kept: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw accuracy and differences against steps, and what subsets keep of dense regions."""
    figure = Figure(figsize=(9.2, 7.2), layout="constrained")
    above, below = figure.subplots(2, 2)
    _draw_accuracy(above[0], rows)
    _draw_differences(above[1], rows)
    _draw_variants(below[0], rows)
    _draw_kept(below[1], kept)
    for axes in (*above, *below):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(10)
    figure.savefig(path, dpi=130)


def _of(rows: Table, arm: str, fraction: float) -> Table:
    return [row for row in rows if (row["arm"], row["fraction"]) == (arm, fraction)]


def _epochs(rows: Table) -> list[float]:
    """Return the steps of rows in epochs of all images."""
    return [row["steps"] * 2 / BASE for row in rows]


def _minus_random(rows: Table) -> NDArray[np.float64]:
    """Return (3, n): differences, and how far their intervals reach below and above."""
    mean, low, high = np.array([row.get("minus random", [np.nan] * 3) for row in rows]).T
    return np.array([mean, mean - low, high - mean])


def _draw_accuracy(axes: Axes, rows: Table) -> None:
    subsets = [(arm, fraction) for fraction in FRACTIONS for arm in ("semantic", "random")]
    for arm, fraction in (("full", 1.0), *subsets):
        mine = _of(rows, arm, fraction)
        axes.errorbar(
            _epochs(mine),
            [row["accuracy"] for row in mine],
            [row["deviation"] or 0 for row in mine],
            color=COLOURS[arm],
            linestyle=STYLES.get(fraction, "-"),
            label=arm if arm == "full" else f"{arm}, {100 * fraction:.0f} %",
            **POINTS,
        )
    axes.set(ylabel="test accuracy, %", title="Mean of the trials, ± one standard deviation")
    _of_epochs(axes, rows)


def _draw_differences(axes: Axes, rows: Table) -> None:
    for fraction, shifted in zip(FRACTIONS, (1 / 1.03, 1.03), strict=True):
        mine = _of(rows, "semantic", fraction)
        if mine:
            mean, *error = _minus_random(mine)
            axes.errorbar(
                np.array(_epochs(mine)) * shifted,
                mean,
                error,
                color=COLOURS["semantic"],
                linestyle=STYLES[fraction],
                label=f"{100 * fraction:.0f} %",
                **POINTS,
            )
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set(ylabel="points", title="Semantic minus random, with 90 % interval")
    _of_epochs(axes, rows)


def _of_epochs(axes: Axes, rows: Table) -> None:
    ticks = sorted(set(_epochs(rows)))
    axes.set_xlim(ticks[0] / 1.2, ticks[-1] * 1.2)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{epoch:.0f}" for epoch in ticks])
    axes.set_xlabel("steps, in epochs of all images")


def _draw_variants(axes: Axes, rows: Table) -> None:
    arms = ("semantic", *VARIANTS)
    for multiple, shifted, marker in zip(VARIED_AT, (-0.1, 0.1), ("o", "s"), strict=True):
        for place, arm in enumerate(arms):
            at = [
                row for row in _of(rows, arm, FRACTIONS[-1]) if row["steps"] == steps_at(multiple)
            ]
            if at:
                mean, *error = _minus_random(at)
                label = f"{_epochs(at)[0]:.0f} epochs" if arm == "semantic" else None
                axes.errorbar(
                    [place + shifted],
                    mean,
                    error,
                    color=COLOURS[arm],
                    **POINTS | {"marker": marker, "linestyle": "", "markersize": 4},
                    label=label,
                )
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xlim(-0.5, len(arms) - 0.5)
    axes.set_xticks(range(len(arms)), [arm.replace(" ", "\n", 1) for arm in arms], fontsize=8)
    axes.set(ylabel="points", title="70 % chosen in other ways, minus random")


def _draw_kept(axes: Axes, kept: Mapping[str, Sequence[float]]) -> None:
    for arm, shares in kept.items():
        if arm != "random of group":  # as semantic, which chooses from the same groups
            axes.plot(range(1, PARTS + 1), shares, marker="o", ms=3, color=COLOURS[arm], label=arm)
    axes.set(xlabel="tenth of the images, from dense to sparse", ylabel="share kept")
    axes.set_title("What 70 % keep of dense and of sparse regions")
    axes.set_xticks(range(1, PARTS + 1))
    axes.set_ylim(0, 1)


def main() -> None:
    """Do what is missing, print a table, write JSON and the picture."""
    parser = arguments(__doc__, "runs/evidence/steps")
    parser.add_argument("--report", action="store_true", help="only report what has finished")
    given = parser.parse_args()
    dataset = some_classes(given.dataset, given.test, CLASSES, given.out)
    subsets = Subsets(dataset, given.out)
    if not given.report:
        train_missing(planned(), subsets.rows_of, given.out, given.processes)
    done = finished(given.out, dataset)
    sparsity = by_sparsity(done, subsets, dataset)
    rows = report("evidence_steps", done, {"sparsity": sparsity})
    plot(rows, sparsity["kept"], RESULTS.parent / "images" / "evidence-steps.png")


if __name__ == "__main__":
    main()

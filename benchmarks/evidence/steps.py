"""Accuracy against the length of training: when a semantic subset does worse than a random one.

ResNet-8 on three classes of CIFAR-10, from one epoch to sixteen: all images, and 90 and 70 % of
every class, semantic or random, at equal steps. The reference is trained for the most steps. At
two lengths, 70 % are also chosen in other ways: by a short reference, by features pooled by
their largest values, a random image of each group, groups at one height in all classes.

    .venv/bin/python -m benchmarks.evidence.steps parquet:TRAIN_GLOB --test TEST_GLOB
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.evidence import choices
from benchmarks.evidence.tables import by_cell, print_rows
from benchmarks.evidence.trainings import (
    CLASSES,
    PRECISION,
    REFERENCE_SEED,
    Finished,
    Rows,
    Training,
    arguments,
    finished,
    some_classes,
    train_missing,
)
from benchmarks.record import RESULTS, write_results
from rayred.data.dataset import Dataset

BASE = 234
"""Steps of two epochs of 15,000 images, in batches of 128."""
MULTIPLES = (0.5, 1, 2, 4, 8)
FRACTIONS = (0.9, 0.7)
TRIALS = 5
VARIANTS = ("short reference", "largest pooled", "random of group", "common height")
VARIED_AT = (2, 8)
"""Multiples at which 70 % are chosen in other ways too."""


def steps_at(multiple: float) -> int:
    """Return the steps of a training."""
    return round(multiple * BASE)


def planned() -> list[Training]:
    """Return all trainings: the short ones first, those of other choices last."""
    arms = [("full", 1.0), *((arm, f) for arm in ("semantic", "random") for f in FRACTIONS)]
    others = [(arm, FRACTIONS[-1]) for arm in VARIANTS]
    return [
        Training(arm, fraction, steps_at(multiple), seed)
        for multiples, chosen in ((MULTIPLES, arms), (VARIED_AT, others))
        for multiple in multiples
        for seed in range(TRIALS)
        for arm, fraction in chosen
    ]


class Subsets:
    """The images of every arm, chosen once."""

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self.labels = dataset.train.labels
        self.long = choices.reference(dataset, folder, steps_at(MULTIPLES[-1]), REFERENCE_SEED)
        self.short = choices.reference(dataset, folder, steps_at(MULTIPLES[1]), REFERENCE_SEED)
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
        kept = np.bincount(train_part[rows], minlength=choices.PARTS) / np.bincount(train_part)
        distance = choices.nearest_kept(x, labels, rows)
        figures["kept"][arm] = np.round(kept, 3).tolist()
        figures["nearest kept"][arm] = [
            float(f"{distance[train_part == part].mean():.2g}") for part in range(choices.PARTS)
        ]
    for one in done:
        arm, fraction, steps = one.training.arm, one.training.fraction, one.training.steps
        right = [100 * one.correct[test_part == part].mean() for part in range(choices.PARTS)]
        figures["accuracy"].setdefault(f"{arm} {fraction:g}, {steps} steps", []).append(right)
    figures["accuracy"] = {
        name: np.round(np.mean(values, axis=0), 1).tolist()
        for name, values in sorted(figures["accuracy"].items())
    }
    return figures


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy against steps, and semantic minus random."""
    figure = Figure(figsize=(9.2, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    colours = {"full": "black", "semantic": "tab:blue", "random": "tab:orange"}
    for arm, fraction in (
        ("full", 1.0),
        *((a, f) for f in FRACTIONS for a in ("semantic", "random")),
    ):
        mine = [row for row in rows if (row["arm"], row["fraction"]) == (arm, fraction)]
        if not mine:
            continue
        epochs = [row["steps"] * 2 / BASE for row in mine]
        style = "--" if fraction == FRACTIONS[-1] else "-"
        left.errorbar(
            epochs,
            [row["accuracy"] for row in mine],
            [row["deviation"] or 0 for row in mine],
            color=colours[arm],
            linestyle=style,
            marker="o",
            markersize=3,
            capsize=2,
            label=arm if arm == "full" else f"{arm}, {100 * fraction:.0f} %",
        )
        if arm == "semantic":
            mean, low, high = np.array([row.get("minus random", [np.nan] * 3) for row in mine]).T
            right.errorbar(
                np.array(epochs) * (1.03 if fraction == FRACTIONS[-1] else 1 / 1.03),
                mean,
                np.array([mean - low, high - mean]),
                color=colours[arm],
                linestyle=style,
                marker="o",
                markersize=3,
                capsize=2,
                label=f"{100 * fraction:.0f} %",
            )
    left.set(ylabel="test accuracy, %", title="Mean of the trials, ± one standard deviation")
    right.axhline(0, color="grey", linewidth=0.8)
    right.set(ylabel="points", title="Semantic minus random, with 90 % interval")
    ticks = sorted({row["steps"] * 2 / BASE for row in rows})
    for axes in (left, right):
        axes.set_xlim(ticks[0] / 1.2, ticks[-1] * 1.2)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{epoch:.0f}" for epoch in ticks])
        axes.set_xlabel("steps, in epochs of all images")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(10)
    figure.savefig(path, dpi=160)


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
    rows = by_cell(done)
    print_rows(rows)
    figures = {
        "classes": CLASSES,
        "precision": PRECISION,
        "rows": rows,
        "sparsity": by_sparsity(done, subsets, dataset),
        "trials": [one.trial() for one in done],
    }
    print(f"written to {write_results('evidence_steps', figures)}")
    plot(rows, RESULTS.parent / "images" / "evidence-steps.png")


if __name__ == "__main__":
    main()

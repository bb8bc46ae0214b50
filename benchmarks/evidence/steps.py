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

from benchmarks.evidence import choices
from benchmarks.evidence.choices import PARTS, Embeddings
from benchmarks.evidence.tables import Table, difference, interval, print_rows, report
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

    def space(self, arm: str) -> Embeddings:
        """Return the embeddings in which the images of an arm are chosen."""
        reference = self.short if arm == "short reference" else self.long
        return reference["largest_train" if arm == "largest pooled" else "mean_train"]

    def _choose(self, arm: str, fraction: float, seed: int) -> Rows:
        rng = np.random.default_rng([zlib.crc32(arm.encode()), round(100 * fraction), seed])
        if arm == "full":
            return np.arange(len(self.labels))
        if arm == "random":
            return choices.at_random(self.labels, fraction, rng)
        if arm == "common height":
            return choices.at_common_height(self.space(arm), self.labels, fraction)
        return choices.semantic(
            self.space(arm), self.labels, fraction, rng if arm == "random of group" else None
        )


def kept_by_sparsity(subsets: Subsets) -> dict[str, list[float]]:
    """Return what share 70 % keep of each tenth of a class, from dense to sparse, by arm.

    Tenths are of the space in which an arm chooses.
    """
    found = {}
    labels = subsets.labels
    for arm in ("semantic", "random", *VARIANTS):
        part = choices.sparsity_parts(subsets.space(arm), labels, subsets.space(arm), labels)
        rows = subsets.rows_of(Training(arm, FRACTIONS[-1], 0, 0))
        kept = np.bincount(part[rows], minlength=PARTS) / np.bincount(part)
        found[arm] = np.round(kept, 3).tolist()
    return found


def of_images(done: list[Finished], subsets: Subsets, dataset: Dataset) -> Table:
    """Return semantic 70 % minus random 70 % for some of the test images, in points.

    The images are those of each class, and the halves of every class that are dense and sparse
    among its training images. "Dense minus sparse" has an interval of the trials alone.
    """
    labels = dataset.test.labels
    space, among = subsets.long["mean_test"], subsets.space("semantic")
    sparse = choices.sparsity_parts(space, labels, among, subsets.labels) >= PARTS // 2
    parts = {name: labels == label for label, name in enumerate(CLASSES)}
    parts |= {"dense": ~sparse, "sparse": sparse}
    rows = []
    for steps in sorted({one.training.steps for one in done}):
        ours, theirs = (
            [
                one
                for one in done
                if (one.training.arm, one.training.fraction, one.training.steps)
                == (arm, FRACTIONS[-1], steps)
            ]
            for arm in ("semantic", "random")
        )
        found = {name: difference(ours, theirs, images) for name, images in parts.items()}
        if not all(found.values()):
            continue
        by_seed = {one.training.seed: one.correct for one in theirs}
        changes = [
            100 * (one.correct.astype(float) - by_seed[one.training.seed])
            for one in ours
            if one.training.seed in by_seed
        ]
        contrast = np.array([one[~sparse].mean() - one[sparse].mean() for one in changes])
        found["dense minus sparse"] = [round(value, 2) for value in interval(contrast)]
        rows.append({"steps": steps, "n": len(changes), **found})
    return rows


def plot(rows: Table, images: Table, kept: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw accuracy and differences against steps, and what subsets keep of dense regions."""
    figure = Figure(figsize=(9.2, 10.5), layout="constrained")
    accuracy, differences, variants, shares, halves, classes = figure.subplots(3, 2).flat
    _draw_accuracy(accuracy, rows)
    _draw_differences(differences, rows)
    _draw_variants(variants, rows)
    _draw_kept(shares, kept)
    for axes, names, title in (
        (halves, ("dense", "sparse"), "70 %: semantic minus random, halves of the test images"),
        (classes, CLASSES, "70 %: semantic minus random, by class"),
    ):
        for place, name in enumerate(names if images else ()):
            shifted = 1.05 ** (place - (len(names) - 1) / 2)
            _draw_line(axes, images, name, shifted, color=f"C{place}", label=name)
        _of_differences(axes, rows, title)
    for axes in figure.axes:
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


def _draw_line(axes: Axes, rows: Table, column: str, shifted: float, **style: Any) -> None:
    """Draw a column of means and intervals against epochs, these times `shifted`."""
    mine = [row for row in rows if column in row]
    mean, low, high = np.array([row[column] for row in mine]).reshape(-1, 3).T
    places = np.array(_epochs(mine)) * shifted
    axes.errorbar(places, mean, [mean - low, high - mean], **POINTS | style)


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
        mine, label = _of(rows, "semantic", fraction), f"{100 * fraction:.0f} %"
        style = {"color": COLOURS["semantic"], "linestyle": STYLES[fraction], "label": label}
        _draw_line(axes, mine, "minus random", shifted, **style)
    _of_differences(axes, rows, "Semantic minus random, with 90 % interval")


def _of_differences(axes: Axes, rows: Table, title: str) -> None:
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set(ylabel="points", title=title)
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
                row
                for row in _of(rows, arm, FRACTIONS[-1])
                if row["steps"] == steps_at(multiple) and "minus random" in row
            ]
            if at:
                mean, low, high = at[0]["minus random"]
                label = f"{_epochs(at)[0]:.0f} epochs" if arm == "semantic" else None
                axes.errorbar(
                    [place + shifted],
                    [mean],
                    [[mean - low], [high - mean]],
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
    axes.set(xlabel="tenth of each class, from dense to sparse", ylabel="share kept")
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
    images, kept = of_images(done, subsets, dataset), kept_by_sparsity(subsets)
    print_rows(images)
    rows = report("evidence_steps", done, {"semantic minus random": images, "kept": kept})
    plot(rows, images, kept, RESULTS.parent / "images" / "evidence-steps.png")


if __name__ == "__main__":
    main()

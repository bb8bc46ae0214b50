"""How far the choice of images depends on the seed of the reference, and whether averaging helps.

The problem of `benchmarks.evidence.steps`: five references that differ by their seeds alone. For
every pair of them the overlap of their semantic subsets beside that of random ones and the
agreement of their groups; then trainings on the subset of each, and on that of the mean of their
cosine distances.

    .venv/bin/python -m benchmarks.evidence.references parquet:TRAIN_GLOB --test TEST_GLOB
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import f_oneway
from sklearn.metrics import adjusted_rand_score

from benchmarks.evidence import choices
from benchmarks.evidence.steps import steps_at
from benchmarks.evidence.tables import interval, report
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

REFERENCES = 5
FRACTIONS = (0.9, 0.7)
STEPS = steps_at(8)
"""Of the references."""
TRAINED = steps_at(2)
"""Steps of the trainings on the subsets."""
TRIALS = 5
MEAN = "mean of references"


def planned() -> list[Training]:
    """Return all trainings."""
    arms = [*(f"reference {number}" for number in range(REFERENCES)), MEAN, "random"]
    return [Training(arm, FRACTIONS[-1], TRAINED, seed) for seed in range(TRIALS) for arm in arms]


def between_references(done: list[Finished]) -> dict[str, Any]:
    """Return how accuracies differ between references, and between them and their mean, in points.

    `p` is that of a one-way analysis of variance of the accuracies on the subsets of the
    references: small if they differ by more than their trials do. `mean minus single` is of trials
    with the same seed, with a 90 % interval.
    """
    accuracy: dict[str, dict[int, float]] = {}
    for one in done:
        accuracy.setdefault(one.training.arm, {})[one.training.seed] = one.accuracy
    singles = [by_seed for arm, by_seed in accuracy.items() if arm.startswith("reference")]
    gains = [
        value - np.mean([by_seed[seed] for by_seed in singles])
        for seed, value in accuracy[MEAN].items()
    ]
    return {
        "p": round(float(f_oneway(*(list(by_seed.values()) for by_seed in singles)).pvalue), 4),
        "mean minus single": [round(value, 2) for value in interval(np.array(gains))],
    }


def main() -> None:
    """Do what is missing, print a table and write JSON."""
    parser = arguments(__doc__, "runs/evidence/references")
    given = parser.parse_args()
    dataset = some_classes(given.dataset, given.test, CLASSES, given.out)
    labels = dataset.train.labels
    spaces = [
        choices.reference(dataset, given.out, STEPS, REFERENCE_SEED + number)["mean_train"]
        for number in range(REFERENCES)
    ]
    # The distance of rows of length 1 side by side is the mean of their distances.
    together = np.concatenate([as_unit_rows(x) for x in spaces], axis=1).astype(np.float32)
    named = {f"reference {number}": x for number, x in enumerate(spaces)} | {MEAN: together}
    subsets = {
        (name, fraction): choices.semantic(x, labels, fraction)
        for name, x in named.items()
        for fraction in FRACTIONS
    }

    def rows_of(training: Training) -> Rows:
        if training.arm == "random":
            rng = np.random.default_rng(training.seed)
            return choices.at_random(labels, training.fraction, rng)
        return subsets[training.arm, training.fraction]

    train_missing(planned(), rows_of, given.out, given.processes)
    done = finished(given.out, dataset)
    figures: dict[str, Any] = {"between references": between_references(done)}
    print("between references", figures["between references"])
    for fraction in FRACTIONS:
        chosen = [subsets[name, fraction] for name in named if name != MEAN]
        groups = [choices.groups_of(x, labels, fraction) for x in spaces]
        figures[f"{fraction:g}"] = {
            "overlap": _of_pairs([_jaccard(a, b) for a, b in combinations(chosen, 2)]),
            "overlap by chance": round(fraction / (2 - fraction), 3),
            "overlap with the mean": _of_pairs(
                [_jaccard(a, subsets[MEAN, fraction]) for a in chosen]
            ),
            "agreement of groups": _of_pairs(
                [adjusted_rand_score(a, b) for a, b in combinations(groups, 2)]
            ),
        }
        print(fraction, figures[f"{fraction:g}"])
    report("evidence_references", done, figures)


def _jaccard(a: Rows, b: Rows) -> float:
    both = len(np.intersect1d(a, b))
    return both / (len(a) + len(b) - both)


def _of_pairs(values: list[float]) -> list[float]:
    """Return mean, lowest and highest."""
    return [round(float(value), 3) for value in (np.mean(values), min(values), max(values))]


if __name__ == "__main__":
    main()

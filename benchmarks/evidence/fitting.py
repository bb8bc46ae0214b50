"""Whether a semantic subset still does worse where the network fits all of its training images.

The classes of `benchmarks.evidence.steps`, but 500 training images of each, without augmentation
and label smoothing, so that ResNet-8 can learn each of them by heart: all, and 70 % of every
class, semantic or random, trained for 4 to 64 epochs.

    .venv/bin/python -m benchmarks.evidence.fitting parquet:TRAIN_GLOB --test TEST_GLOB
"""

from __future__ import annotations

import numpy as np

from benchmarks.evidence import choices
from benchmarks.evidence.tables import report
from benchmarks.evidence.trainings import (
    CLASSES,
    REFERENCE_SEED,
    Rows,
    Training,
    arguments,
    finished,
    some_classes,
    train_missing,
)

CLASS_SIZE = 500
STEPS = (48, 192, 768)
"""In batches of 128: 4, 16 and 64 epochs."""
FRACTION = 0.7
TRIALS = 10
RECIPE = {"augment": {"crop": "none", "flip": False}, "label_smoothing": 0.0}


def planned() -> list[Training]:
    """Return all trainings, the short ones first."""
    arms = (("full", 1.0), ("semantic", FRACTION), ("random", FRACTION))
    return [
        Training(arm, fraction, steps, seed)
        for steps in STEPS
        for seed in range(TRIALS)
        for arm, fraction in arms
    ]


def main() -> None:
    """Do what is missing, print a table and write JSON."""
    given = arguments(__doc__, "runs/evidence/fitting").parse_args()
    dataset = some_classes(given.dataset, given.test, CLASSES, given.out, CLASS_SIZE)
    labels = dataset.train.labels
    x = choices.reference(dataset, given.out, STEPS[-1], REFERENCE_SEED, RECIPE)["mean_train"]
    semantic = choices.semantic(x, labels, FRACTION)

    def rows_of(training: Training) -> Rows:
        if training.arm == "full":
            return np.arange(len(labels))
        if training.arm == "semantic":
            return semantic
        return choices.at_random(labels, FRACTION, np.random.default_rng(training.seed))

    train_missing(planned(), rows_of, given.out, given.processes, RECIPE)
    report("evidence_fitting", finished(given.out, dataset))


if __name__ == "__main__":
    main()

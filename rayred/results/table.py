"""The results of all trials as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rayred.files import replacing
from rayred.results.classes import worst_class
from rayred.results.trial import TestSplit, TrialResult


def save_results(path: Path, results: Sequence[TrialResult], test: TestSplit | None) -> None:
    """Write one row a trial to a Parquet file.

    Parameters
    ----------
    path
        The file.
    results
        The trials.
    test
        The test images; None if nothing is known of them. Where the class of each is not known, the
        worst class of every trial is empty.
    """
    worst = [worst_class(result, test) for result in results]
    rows = [
        {
            "selector": result.trial.selector,
            "fraction": result.trial.fraction,
            "trial": result.trial.trial,
            "seed": result.trial.seed,
            "n_train": result.n_train,
            "test_accuracy": result.test_accuracy,
            "train_seconds": result.train_seconds,
            "status": result.status,
            "reason": result.reason,
            "worst_class": "" if one is None else one[0],
            "worst_class_accuracy": None if one is None else one[1],
        }
        for result, one in zip(results, worst, strict=True)
    ]
    numbers = ("test_accuracy", "train_seconds", "worst_class_accuracy")
    table = pd.DataFrame(rows).astype(dict.fromkeys(numbers, float))
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)

"""The results of all trials as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rayred.files import replacing
from rayred.results.trial import TrialResult


def save_results(path: Path, results: Sequence[TrialResult]) -> None:
    """Write one row a trial to a Parquet file."""
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
        }
        for result in results
    ]
    table = pd.DataFrame(rows).astype({"test_accuracy": float, "train_seconds": float})
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)

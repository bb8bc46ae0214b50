"""Whether a smaller data set is as good as the whole one: a study of exactly its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.array_files import read_rows
from rayred.config import Experiment
from rayred.config.file import override_experiment
from rayred.config.sweep import GIVEN
from rayred.data import Dataset
from rayred.data.stages import IMAGES, describe_changes
from rayred.errors import ConfigError, RunFolderError
from rayred.pipeline import run_study
from rayred.pruning.tables import PRUNED
from rayred.review import Study
from rayred.store import Store
from rayred.study import experiment_of

VERIFIED = "verified"
"""Folder of the study, within that of the smaller data set."""
KEPT = "kept.npy"
"""File of the kept rows."""
DIGITS = 3
"""Significant digits of the share that is kept, or is not, by which the study knows the subset."""


def verify(
    folder: Path | str,
    out: Path | str | None = None,
    *,
    overrides: Sequence[str] = (),
    address: str | None = None,
    fresh: bool = False,
    update: bool = False,
) -> Study:
    """Train on the images that a smaller data set keeps, on random ones, and on all, and judge.

    As `rayred.run` does, with the kept images in place of semantic subsets. Random subsets have as
    many images of each class.

    Parameters
    ----------
    folder
        What `rayred.prune` has written.
    out
        Run folder, or its URL in a bucket; by default ``verified`` in `folder`.
    overrides
        ``key.path=value`` settings of the study; where the data set has no test split,
        ``data.test=DATASET`` is needed.
    address, fresh, update
        As for `rayred.run`.

    Raises
    ------
    RayredError
        Something cannot be used as given, or failed; the message says what to do.
    """
    folder = Path(folder)
    store = Store(folder)
    images = store.current(IMAGES)
    if store.current(PRUNED) is None or images is None:
        raise RunFolderError(f"{folder}: holds no smaller data set; make one with 'rayred prune'")
    before = images.value["train"]
    share = len(read_rows(folder / KEPT)) / len(before)
    if share == 1:
        raise RunFolderError(f"{folder}: keeps all images, so that there is nothing to verify")
    experiment = _experiment(experiment_of(store), folder / KEPT, share, overrides)

    def check(dataset: Dataset) -> None:
        _check_same(folder, before, dataset)

    return run_study(
        experiment,
        folder / VERIFIED if out is None else out,
        address=address,
        fresh=fresh,
        update=update,
        check=check,
    )


def _experiment(
    pruned: Experiment, rows: Path, share: float, overrides: Sequence[str]
) -> Experiment:
    """Return the study of the rows in a file, by the settings that they were chosen with."""
    if pruned.data.unlabelled:
        raise ConfigError("verify: the images were taken without labels, which a study trains on")
    given = pruned.given()
    for key, mark in pruned.marks().items():
        if mark.fixed:  # this cluster may be another one
            group, _, name = key.partition(".")
            given[group][name] = "auto"
    if pruned.data.test == pruned.dataset:  # as pruning tests its reference on the images
        given["data"]["test"] = None
    given["sweep"] = {
        "fractions": [1.0, _rounded(share)],
        "selectors": [GIVEN, "random"],
        "subset": str(rows),
    }
    return override_experiment(given, "verify", overrides)


def _rounded(share: float) -> float:
    """Return a share of less than 1, rounded so that it is neither 0 nor 1."""
    if share < 0.5:
        return float(f"{share:.{DIGITS}g}")
    return round(1 - float(f"{1 - share:.{DIGITS}g}"), 12)


def _check_same(folder: Path, before: NDArray[np.uint8], dataset: Dataset) -> None:
    """Refuse images of which the rows are others now."""
    now = dataset.train.fingerprints()
    if np.array_equal(before, now):
        return
    changes = describe_changes({"train": before}, {"train": now}) or ["they are in another order"]
    raise RunFolderError(
        f"{folder}: the images have changed since they were pruned ({'; '.join(changes)}):"
        " prune them again"
    )

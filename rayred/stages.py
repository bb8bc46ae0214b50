"""The stages of a study that leave files; those that need torch are in `rayred.training.stages`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from rayred.clustering.exploration import Exploration, load_exploration, save_exploration
from rayred.clustering.scores import load_scores, save_scores
from rayred.clustering.trees import load_trees, save_trees
from rayred.config import Experiment
from rayred.config.file import dump_experiment, load_experiment
from rayred.errors import ConfigError
from rayred.results.reference import ReferenceResult, load_reference_result
from rayred.results.trial import TestSplit, TrialResult
from rayred.search.results import Candidate, load_candidate, load_found, save_found
from rayred.selection import load_subsets, save_subsets
from rayred.selection.overlap import Overlap, load_overlaps
from rayred.store import Stage, Store, json_stage, path_stage

M = TypeVar("M")
T = TypeVar("T")

TEST_FILE = "test-split.npz"
_OVERLAPS = json_stage("overlap", "overlap.json")


def _save_config(path: Path, experiment: Experiment) -> None:
    path.write_text(dump_experiment(experiment))


def _load_config(path: Path) -> Experiment:
    try:
        return load_experiment(path)
    except ConfigError as error:
        raise ValueError(str(error)) from error


def _save_test(folder: Path, test: TestSplit) -> None:
    assert test.labels is not None
    np.savez_compressed(folder / TEST_FILE, labels=test.labels, classes=np.array(test.classes))


def _load_test(folder: Path) -> TestSplit:
    with np.load(folder / TEST_FILE) as file:
        labels, classes = file["labels"], file["classes"].tolist()
    sizes = np.bincount(labels, minlength=len(classes)).tolist()
    return TestSplit(tuple(sizes), tuple(classes), labels)


def _save_overlaps(folder: Path, overlaps: Sequence[Overlap]) -> None:
    _OVERLAPS.save(folder, {"fractions": [asdict(one) for one in overlaps]})


def _load_overlaps(folder: Path) -> tuple[Overlap, ...]:
    return load_overlaps(_OVERLAPS.load(folder)["fractions"])


CONFIG = path_stage("config", "config.yaml", _save_config, _load_config)
DATASET = json_stage("dataset", "dataset.json", shown=False)
"""Facts of the data set: those of `Dataset.facts`, and the test images of each class."""
TEST_SPLIT = Stage[TestSplit, TestSplit]("test-split", _save_test, _load_test, shown=False)
"""The test images, with the class of each."""
SEARCH = path_stage("search", "search.json", save_found, load_found)
TREES = path_stage("trees", "trees.npz", save_trees, load_trees)
EXPLORATION = Stage[Exploration, Exploration](
    "exploration", save_exploration, load_exploration, shown=False
)
"""What the group browser needs to know of the training images."""
OVERLAP = Stage[Sequence[Overlap], tuple[Overlap, ...]](
    "overlap", _save_overlaps, _load_overlaps, shown=False
)
"""How alike the references of a study choose."""
SCORES = path_stage("scores", "scores.parquet", save_scores, load_scores)
SUBSETS = path_stage("subsets", "subsets", save_subsets, load_subsets)


def _save_nothing(path: Path, _: ReferenceResult) -> None:
    raise NotImplementedError(f"{path}: rayred.training.stages.REFERENCE saves it")


REFERENCE_RESULT = path_stage("reference", "reference.pt", _save_nothing, load_reference_result)
"""The reference model without its weights, which are read by `rayred.training.stages.REFERENCE`."""

REPORT = "report"
"""Name of the stage of results, figures and page."""
TRIAL = "trial-"
"""How the names of the stages of all trials begin."""
CANDIDATE = "candidate-"
"""How the names of the stages of all candidates begin."""


def numbered(stage: Stage[M, T], number: int) -> Stage[M, T]:
    """Return a stage for the reference of a number, ``NAME-NUMBER``, without views."""
    return replace(stage, name=f"{stage.name}-{number}", shown=False)


def trial_stage(trial: str) -> Stage[TrialResult, TrialResult]:
    """Return the stage of the trial of a name."""
    stage = json_stage(f"{TRIAL}{trial}", "trial.json", shown=False)

    def save(folder: Path, result: TrialResult) -> None:
        stage.save(folder, asdict(result))

    def load(folder: Path) -> TrialResult:
        return TrialResult.from_json(stage.load(folder))

    return Stage(stage.name, save, load, shown=False)


def candidate_stage(search: str, candidate: str) -> Stage[Candidate, Candidate]:
    """Return the stage of the candidate of a name, in the search of a key."""
    return Stage(f"{CANDIDATE}{search}-{candidate}", _save_candidate, _load_candidate, shown=False)


def kept_candidates(store: Store, search: str = "") -> dict[str, Candidate]:
    """Return all candidates in a folder by key: those of one search, if its key is given."""
    prefix = CANDIDATE + (f"{search}-" if search else "")
    return {entry.key: _load_candidate(entry.folder) for entry in store.every(prefix)}


_CANDIDATE_FILE = json_stage("candidate", "candidate.json")


def _save_candidate(folder: Path, candidate: Candidate) -> None:
    _CANDIDATE_FILE.save(folder, asdict(candidate))


def _load_candidate(folder: Path) -> Candidate:
    return load_candidate(_CANDIDATE_FILE.load(folder))

"""The report of a finished study: results.json, the figures and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rayred.checking.partners import Relation
from rayred.clustering.exploration import Exploration
from rayred.clustering.trees import ClassTrees
from rayred.config import Selection
from rayred.data.dataset import Dataset
from rayred.files import write_json
from rayred.machines.environment import Environment
from rayred.report.browser.content import Content, pack
from rayred.report.browsing import content_of
from rayred.report.figures import draw_figures
from rayred.report.groups import group_sizes
from rayred.report.page import write_page
from rayred.results.curve import Point
from rayred.results.table import save_results
from rayred.results.trial import TestSplit, TrialResult
from rayred.search.results import Found
from rayred.selection.overlap import Overlap
from rayred.verdict import Verdict

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class StudyReport:
    """The contents of a report."""

    name: str
    """Name of the study."""
    dataset_setting: str
    """The setting `dataset` of the experiment."""
    dataset: Dataset
    model: str
    """Name of the network."""
    steps: int
    """Optimiser steps of each training."""
    linkage: str
    """Linkage method."""
    reference_accuracy: float
    """Test accuracy of the reference model, 0 to 1."""
    reference_seconds: float
    """Seconds that the reference model was trained."""
    reference_curve: tuple[Point, ...]
    """Curve of the reference training."""
    fraction: float
    """The fraction whose groups are shown."""
    trees: ClassTrees
    kept: NDArray[np.int64]
    """(n,) the images kept at that fraction."""
    given: bool
    """Whether these were chosen before the study."""
    exploration: Exploration
    """What the group browser needs to know of the training images."""
    twice: Mapping[Relation, pandas.DataFrame]
    """Pairs of images that look the same, by relation; empty if nothing was compared."""
    trials: Sequence[TrialResult]
    test: TestSplit | None
    """The test images; `None` if nothing is known of them."""
    verdict: Verdict
    selection: Selection
    """How many references there are, and how subsets go by them."""
    overlaps: Sequence[Overlap]
    """How alike the references choose, fraction by fraction; empty if there is one."""
    environment: Environment
    found: Found | None
    """The result of the search; `None` if there was none."""
    notes: list[str]
    """Sentences to list under the heading Notes."""
    config: str
    """The experiment file with all defaults written out."""


def shown_fraction(verdict: Verdict, fractions: Sequence[float]) -> float:
    """Return the fraction whose groups are shown: the verdict's, or else the largest below 1."""
    if verdict.equivalent_fraction is not None:
        return verdict.equivalent_fraction
    return max((fraction for fraction in fractions if fraction < 1), default=1.0)


def write_report(folder: Path, study: StudyReport) -> None:
    """Write results.json, results.parquet, figures/* and report.html into a folder."""
    write_json(folder / "results.json", _results(study))
    save_results(folder / "results.parquet", study.trials, study.test)
    figures = draw_figures(folder / "figures", study)
    cut = f"cut at {100 * study.fraction:g} % of every class"
    sizes = group_sizes(study.trees, study.fraction)
    redundant = sum(int((group > 1).sum()) for group in sizes)
    facts = _facts(study) | {
        "redundant groups": f"{redundant:,} of more than one image, {cut}",
        "margin": f"±{study.verdict.margin:g} percentage points",
        **_origin(study.environment),
    }
    page = folder / "report.html"
    write_page(
        page,
        study.name,
        facts,
        study.verdict,
        figures,
        study.notes,
        study.found,
        study.config,
        study.overlaps,
        pack(browsed(study)),
        given=study.given,
    )


def browsed(study: StudyReport) -> Content:
    """Return what the group browser shows of a study."""
    given = study.kept if study.given else None
    return content_of(
        study.dataset, study.exploration, study.fraction, study.linkage, study.twice, given
    )


def _facts(study: StudyReport) -> dict[str, str]:
    dataset = study.dataset
    return {
        "data set": f"{study.dataset_setting}: {len(dataset.train):,} training and"
        f" {len(dataset.test):,} test images, {len(dataset.classes)} classes",
        "reference model": f"{study.model}, {100 * study.reference_accuracy:.2f} % test"
        f" accuracy after {study.steps:,} steps",
        **_references(study.selection),
        "linkage": f"{study.linkage}, cosine distance, each class separately",
    }


def _references(selection: Selection) -> dict[str, str]:
    if selection.references == 1:
        return {}
    by = "the mean of their distances" if selection.average else "the first of them"
    differ = f"{selection.references} that differ by their seeds"
    return {"references": f"{differ}; subsets are chosen by {by}"}


def _origin(environment: Environment) -> dict[str, str]:
    if not environment.versions:
        return {}  # written by a version that did not record it
    return {"made on": environment.hardware(), "made with": _versions(environment)}


def _versions(environment: Environment) -> str:
    packages = ", ".join(f"{name} {text}" for name, text in environment.versions.items())
    if not environment.git_commit:
        return packages
    changed = ", changed since" if environment.git_dirty else ""
    return f"{packages}; git commit {environment.git_commit[:10]}{changed}"


def _results(study: StudyReport) -> dict[str, object]:
    return {
        "name": study.name,
        "dataset": study.dataset.facts(),
        "environment": asdict(study.environment),
        "reference": {
            "test_accuracy": study.reference_accuracy,
            "train_seconds": study.reference_seconds,
            "curve": [asdict(point) for point in study.reference_curve],
        },
        "verdict": {
            "sentence": study.verdict.sentence,
            "margin": study.verdict.margin,
            "redundant_fraction": study.verdict.redundant_fraction,
            "obstacle": study.verdict.obstacle,
        },
        "search": None
        if study.found is None
        else {"settings": study.found.settings, "validation_accuracy": study.found.accuracy},
        "cells": [asdict(cell) for cell in study.verdict.cells],
        "semantic_against_random": [asdict(one) for one in study.verdict.advantages],
        "overlaps": [asdict(one) for one in study.overlaps],
        "notes": study.notes,
    }

"""All that a finished study shows: results.json, the figures and the page."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees
from rayred.config import Experiment
from rayred.config.file import dump_experiment
from rayred.data.dataset import Dataset
from rayred.machines.environment import Environment
from rayred.report.figures import draw_accuracy, draw_group_sizes, draw_groups
from rayred.report.groups import group_sizes, largest_groups
from rayred.report.page import write_page
from rayred.search.results import Found
from rayred.store import RunFolder, write_json
from rayred.training.loop import Point
from rayred.verdict.judge import Verdict

GROUPS_SHOWN = 10


@dataclass(frozen=True)
class StudyReport:
    """What a report is made of."""

    experiment: Experiment
    dataset: Dataset
    reference_accuracy: float
    """Test accuracy of the reference model, 0 to 1."""
    reference_seconds: float
    """Seconds that the reference model was trained."""
    embeddings: NDArray[np.float32]
    """(N, D) of the training images."""
    trees: ClassTrees
    verdict: Verdict
    reference_curve: tuple[Point, ...]
    """The reference training."""
    environment: Environment
    found: Found | None
    """What was searched for; none where nothing was."""
    notes: list[str]
    """What else a reader should know."""

    @property
    def shown_fraction(self) -> float:
        """The fraction whose groups are shown: the smallest found redundant, or the largest."""
        if self.verdict.equivalent_fraction is not None:
            return self.verdict.equivalent_fraction
        below = [fraction for fraction in self.experiment.sweep.fractions if fraction < 1]
        return max(below, default=1.0)


def write_report(folder: RunFolder, study: StudyReport) -> None:
    """Write results.json, figures/*.png and report.html."""
    write_json(folder / "results.json", _results(study))
    fraction = study.shown_fraction
    dataset, experiment = study.dataset, study.experiment
    figures = folder / "figures"
    draw_accuracy(figures / "accuracy.png", experiment.name, study.verdict)
    sizes = group_sizes(study.trees, fraction)
    draw_group_sizes(figures / "group-sizes.png", dataset.classes, sizes, fraction)
    groups = largest_groups(study.trees, study.embeddings, fraction, GROUPS_SHOWN)
    draw_groups(figures / "groups.png", dataset.train, groups, fraction)
    kept = f"{100 * fraction:g} % of every class kept"
    redundant = sum(int((group > 1).sum()) for group in sizes)
    write_page(
        folder / "report.html",
        experiment.name,
        {
            "data set": f"{experiment.dataset}: {len(dataset.train):,} training and"
            f" {len(dataset.test):,} test images, {len(dataset.classes)} classes",
            "reference model": f"{experiment.model}, {100 * study.reference_accuracy:.2f} % test"
            f" accuracy after {experiment.train.steps:,} steps",
            "linkage": f"{experiment.linkage.method}, cosine distance, each class on its own",
            "redundant groups": f"{redundant:,} of more than one image, with {kept}",
            "margin": f"±{study.verdict.margin:g} percentage points",
            **_origin(study.environment),
        },
        study.verdict,
        {
            "Test accuracy against the size of the training set.": figures / "accuracy.png",
            f"Number of groups by size, {kept}; counts on a logarithmic axis.": figures
            / "group-sizes.png",
            f"The largest redundant group of a class, {kept}. The image boxed in green is kept,"
            " the others are left out.": figures / "groups.png",
        },
        study.notes,
        study.found,
        dump_experiment(experiment),
    )


def _origin(environment: Environment) -> dict[str, str]:
    if not environment.versions:
        return {}  # a run folder of before this was kept
    return {"made on": environment.hardware(), "made with": _versions(environment)}


def _versions(environment: Environment) -> str:
    packages = ", ".join(f"{name} {text}" for name, text in environment.versions.items())
    if not environment.git_commit:
        return packages
    changed = ", changed since" if environment.git_dirty else ""
    return f"{packages}; git commit {environment.git_commit[:10]}{changed}"


def _results(study: StudyReport) -> dict[str, object]:
    return {
        "name": study.experiment.name,
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
        },
        "search": None
        if study.found is None
        else {"settings": study.found.settings, "validation_accuracy": study.found.accuracy},
        "cells": [asdict(cell) for cell in study.verdict.cells],
        "semantic_against_random": [asdict(one) for one in study.verdict.advantages],
        "notes": study.notes,
    }

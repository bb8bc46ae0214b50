"""All figures of a study, as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from rayred.clustering.trees import ClassTrees
from rayred.report.figures.accuracy import accuracy_words, draw_accuracy
from rayred.report.figures.curves import curves_of, curves_words, draw_curves
from rayred.report.figures.group_sizes import draw_group_sizes, sizes_words
from rayred.report.figures.groups import draw_groups, groups_words
from rayred.report.figures.heights import draw_heights, heights_words
from rayred.report.figures.redundancy import draw_redundancy, redundancy_words
from rayred.report.figures.sheet import save
from rayred.report.figures.text import Words
from rayred.report.groups import Choice, choose_groups, group_sizes
from rayred.report.merges import common_height, heights_at, shares_at

if TYPE_CHECKING:
    from rayred.report.study import StudyReport

GROUPS_SHOWN = 10
SHARES = 200
"""Shares at which merge heights are drawn."""

Drawing = tuple[str, Words, Figure]
"""Name of a figure, what it shows, and the figure."""


@dataclass(frozen=True)
class Drawn:
    """A figure that lies in a file."""

    name: str
    """Name of its files, without their endings."""
    title: str
    """What is seen, with its numbers."""
    caption: str
    """How to read the figure, and what it leaves out."""
    path: Path
    """Its PNG file; the SVG file lies beside it."""


def draw_figures(folder: Path, study: StudyReport) -> list[Drawn]:
    """Write all figures of a study into a folder, each as PNG and as SVG.

    The figure of curves is left out where no training was evaluated more than once; that of the
    loosest groups where there is none, and those of heights where nothing was merged.
    """
    return [_written(folder, drawing) for drawing in _drawings(study)]


def draw_redundancy_of(
    folder: Path, trees: ClassTrees, classes: Sequence[str], height: float
) -> Drawn:
    """Write the figure of the redundancy by class into a folder, at a height known of all trees."""
    shares = shares_at(trees, height, known=height)
    words = redundancy_words(classes, shares, height)
    drawing = "redundancy-by-class", words, draw_redundancy(classes, shares, words.title)
    return _written(folder, drawing)


def _written(folder: Path, drawing: Drawing) -> Drawn:
    name, words, figure = drawing
    path = folder / f"{name}.png"
    save(figure, path, words.title)
    return Drawn(name, words.title, words.caption, path)


def _drawings(study: StudyReport) -> Iterator[Drawing]:
    words = accuracy_words(study.verdict)
    yield "accuracy", words, draw_accuracy(study.verdict, study.trials, words.title)
    if curves := curves_of(study.trials):
        words = curves_words(curves)
        yield "curves", words, draw_curves(curves, words.title)
    sizes = group_sizes(study.trees, study.fraction)
    total = sum(int((one > 1).sum()) for one in sizes)
    yield _groups("groups", "largest", study, total)
    if total:
        yield _groups("groups-loosest", "loosest", study, total)
    words = sizes_words(sizes, study.fraction)
    yield "group-sizes", words, draw_group_sizes(sizes, words.title)
    yield from _of_heights(study)


def _groups(name: str, choice: Choice, study: StudyReport, total: int) -> Drawing:
    fraction = study.fraction
    groups = choose_groups(study.trees, study.kept, fraction, choice, GROUPS_SHOWN)
    words = groups_words(groups, choice, fraction, total)
    return name, words, draw_groups(study.dataset.train, groups, words.title)


def _of_heights(study: StudyReport) -> Iterator[Drawing]:
    trees, classes = study.trees, study.dataset.classes
    height = common_height(trees, study.fraction)
    if height is None:
        return
    redundant = shares_at(trees, height)
    words = redundancy_words(classes, redundant, height)
    yield "redundancy-by-class", words, draw_redundancy(classes, redundant, words.title)
    fractions = sorted({cell.fraction for cell in study.verdict.cells if cell.fraction < 1})
    most = max(len(tree.heights) / tree.n_rows for tree in trees.trees if tree.n_rows)
    grid = np.linspace(0, most, SHARES + 1).tolist()
    shares = sorted({*grid, *(1 - fraction for fraction in fractions)})
    heights = heights_at(trees, shares)
    words = heights_words(shares, heights, fractions)
    yield "merge-heights", words, draw_heights(shares, heights, fractions, words.title)

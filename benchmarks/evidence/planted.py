"""Verdicts about planted truth: how often they are right, undecided and wrong.

A repetition makes two training sets of one size. In the one, a share of the images are altered
copies of others: without them it should be equivalent. In the other all images differ: without as
many it should be worse. Both are studied as `rayred run` would, without Ray: a reference on all
images, groups, semantic and random subsets, trainings, the verdict. Of the copies it is also
counted which are in a group with their originals.

    .venv/bin/python -m benchmarks.evidence.planted
    .venv/bin/python -m benchmarks.evidence.planted --dataset parquet:TRAIN_GLOB --test TEST_GLOB
    ATEN_CPU_CAPABILITY=default .venv/bin/python -m benchmarks.evidence.planted --repetitions 5
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from benchmarks.evidence import choices
from benchmarks.evidence.tables import interval, print_rows
from benchmarks.evidence.trainings import (
    CLASSES,
    MODEL,
    REFERENCE_SEED,
    Rows,
    do_missing,
    notes,
    some_classes,
)
from benchmarks.planted import altered, as_pixels, unlike_each_other
from benchmarks.record import write_results
from rayred.config import Train
from rayred.data.dataset import Dataset, Split
from rayred.results.trial import TestSplit, Trial, TrialResult, pack_correct
from rayred.training import Outcome, Task, embed_images, train_model
from rayred.verdict.judge import judge

SHARES = (0.1, 0.3, 0.5)
"""Of the images, those that are planted or left out."""


@dataclass(frozen=True)
class Problem:
    """What is trained on."""

    class_size: int
    """Training images of a class, copies included."""
    margin: float
    """Of equivalence, in points."""
    recipe: Train
    trials: int = 12
    """Of each subset."""


DIGITS = Problem(
    20,
    1.0,
    Train.model_validate({"steps": 200, "batch_size": 64, "augment": {"pad": 1, "flip": False}}),
)
PHOTOS = Problem(
    100, 2.0, Train.model_validate({"steps": 100, "batch_size": 64, "augment": {"pad": 2}})
)


@dataclass(frozen=True)
class Repetition:
    """A training set that is studied."""

    share: float
    planted: bool
    """Whether that share are copies, or all images differ."""
    number: int


def planned(repetitions: int) -> list[Repetition]:
    """Return all repetitions."""
    return [
        Repetition(share, planted, number)
        for number in range(repetitions)
        for share in SHARES
        for planted in (True, False)
    ]


def digits() -> Split:
    """Return all digits, 8 × 8 pixels."""
    found = load_digits()
    images = np.round(found.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = found.target.astype(np.int64)
    return Split(images, labels, [str(row) for row in range(len(labels))], tuple("0123456789"))


def halved(split: Split) -> Split:
    """Return images of half the side, each pixel the mean of four."""
    n, height, width, channels = split.images.shape
    blocks = np.asarray(split.images).reshape(n, height // 2, 2, width // 2, 2, channels)
    return replace(split, images=as_pixels(blocks.mean(axis=(2, 4))))


def training_set(pool: Split, size: int, one: Repetition) -> tuple[Split, Rows, Rows]:
    """Return a training set, the original of each of its images, and the rows of the pool it uses.

    The originals of a class are unlike each other: each is the farthest from those before it.
    """
    rng = np.random.default_rng([one.number, round(100 * one.share), one.planted])
    copies = round(one.share * size) if one.planted else 0
    images, labels, originals, used = [], [], [], []
    pixels = np.asarray(pool.images)
    for label, members in enumerate(choices.members_of(pool.labels)):
        first = int(rng.integers(len(members)))
        chosen = members[unlike_each_other(pixels[members], size - copies, first)]
        copied = rng.permutation(chosen)[:copies]
        images += [
            pixels[chosen],
            *(as_pixels(altered(pixels[row].astype(float), rng))[None] for row in copied),
        ]
        originals += [chosen, copied]
        labels.append(np.full(size, label))
        used.append(chosen)
    count = size * len(pool.classes)
    names = [str(row) for row in range(count)]
    split = Split(np.concatenate(images), np.concatenate(labels), names, pool.classes)
    return split, np.concatenate(originals), np.sort(np.concatenate(used))


def study(pool: Split, test: Split | None, problem: Problem, one: Repetition) -> dict[str, Any]:
    """Study a training set and return what the verdict says of its subsets."""
    split, originals, used = training_set(pool, problem.class_size, one)
    if test is None:
        rest = np.setdiff1d(np.arange(len(pool)), used)
        names = [str(row) for row in range(len(rest))]
        test = Split(np.asarray(pool.images)[rest], pool.labels[rest], names, pool.classes)
    dataset = Dataset("planted", split, test)
    everything = np.arange(len(split))
    reference = _train(dataset, problem, everything, REFERENCE_SEED + one.number)
    x = embed_images(reference.model, split, torch.device("cpu"))
    fraction = 1 - one.share
    kept = choices.semantic(x, split.labels, fraction)
    results = []
    for seed in range(problem.trials):
        rng = np.random.default_rng([seed, one.number])
        for selector, rows in (
            ("full", everything),
            ("semantic", kept),
            ("random", choices.at_random(split.labels, fraction, rng)),
        ):
            outcome = _train(dataset, problem, rows, seed)
            share = 1.0 if selector == "full" else fraction
            trial = Trial(selector, share, seed, seed, selector)
            results.append(
                TrialResult(
                    trial,
                    len(rows),
                    "finished",
                    outcome.test_accuracy,
                    outcome.train_seconds,
                    correct=pack_correct(outcome.correct),
                )
            )
    sizes = tuple(np.bincount(test.labels, minlength=len(test.classes)).tolist())
    verdict = judge("planted", results, problem.margin, TestSplit(sizes))
    found: dict[str, Any] = {
        cell.selector: {
            "accuracy": round(cell.mean, 2) if cell.mean is not None else None,
            "difference": round(cell.difference, 3) if cell.difference is not None else None,
            "outcome": cell.outcome,
        }
        for cell in verdict.cells
    }
    precision, recall = _pairs(x, split, originals, fraction)
    return found | {"precision": precision, "recall": recall}


def _train(dataset: Dataset, problem: Problem, rows: Rows, seed: int) -> Outcome:
    return train_model(Task.for_dataset(MODEL, dataset, problem.recipe, seed), dataset, rows)


def _pairs(
    x: NDArray[np.float32], split: Split, originals: Rows, fraction: float
) -> tuple[float | None, float | None]:
    """Return precision and recall of the pairs of one original among all pairs in a group."""
    of_groups = set(_pairs_within(choices.groups_of(x, split.labels, fraction)))
    of_copies = set(_pairs_within(originals))
    both = len(of_groups & of_copies)
    precision = round(both / len(of_groups), 3) if of_groups else None
    return precision, round(both / len(of_copies), 3) if of_copies else None


def _pairs_within(groups: Rows) -> Iterator[tuple[int, int]]:
    for group in np.unique(groups):
        yield from combinations(np.flatnonzero(groups == group).tolist(), 2)


def _study_alone(given: argparse.Namespace, one: Repetition) -> dict[str, Any]:
    if given.dataset == "digits":
        return study(digits(), None, DIGITS, one)
    dataset = some_classes(given.dataset, given.test, CLASSES, given.out)
    return study(halved(dataset.train), halved(dataset.test), PHOTOS, one)


def rates(done: list[dict[str, Any]], margin: float) -> list[dict[str, Any]]:
    """Return how often the verdict about each subset has each outcome, and is wrong.

    The true difference is taken to be the mean of all repetitions. "Equivalent" is wrong if that is
    not within the margin, "worse" if it is not below zero.
    """
    rows = []
    for share, planted, selector in product(SHARES, (True, False), ("semantic", "random")):
        mine = [one for one in done if (one["share"], one["planted"]) == (share, planted)]
        if not mine:
            continue
        outcomes = Counter(one[selector]["outcome"] for one in mine)
        difference = interval(np.array([one[selector]["difference"] for one in mine]))
        wrong = outcomes["equivalent"] * (abs(difference[0]) >= margin)
        wrong += outcomes["worse"] * (difference[0] >= 0)
        row: dict[str, Any] = {"share": share, "planted": planted, "selector": selector}
        row |= {"n": len(mine), "difference": [round(value, 2) for value in difference]}
        row |= {name: outcomes[name] for name in ("equivalent", "undecided", "worse")}
        row["wrong"] = wrong
        if planted and selector == "semantic":
            for name in ("precision", "recall"):
                row[name] = round(float(np.mean([one[name] for one in mine])), 3)
        rows.append(row)
    return rows


def main() -> None:
    """Do what is missing, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", default="digits", help="digits, or training photos")
    parser.add_argument("--test", help="test photos, as `data.test`")
    parser.add_argument("--out", type=Path, help="folder; default: runs/evidence/planted-…")
    parser.add_argument("--repetitions", type=int, default=20, help="of each of the six studies")
    parser.add_argument("--processes", type=int, default=2, help="studies at a time")
    given = parser.parse_args()
    kind, problem = ("digits", DIGITS) if given.dataset == "digits" else ("photos", PHOTOS)
    cpu = os.environ.get("ATEN_CPU_CAPABILITY")
    name = f"planted-{kind}-{cpu}" if cpu else f"planted-{kind}"
    given.out = given.out or Path("runs/evidence") / name
    given.out.mkdir(parents=True, exist_ok=True)
    if kind == "photos":
        some_classes(given.dataset, given.test, CLASSES, given.out)
    do_missing(
        planned(given.repetitions),
        lambda one: partial(_study_alone, given, one),
        given.out,
        given.processes,
    )
    done = notes(given.out)
    rows = rates(done, problem.margin)
    print_rows(rows)
    figures = {
        "margin": problem.margin,
        "trials": problem.trials,
        "rows": rows,
        "repetitions": done,
    }
    print(f"written to {write_results(f'evidence_{name}'.replace('-', '_'), figures)}")


if __name__ == "__main__":
    main()

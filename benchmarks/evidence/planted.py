"""Verdicts about planted truth: how often they are right, undecided and wrong.

A repetition makes two training sets of one size. In the one, a share of the images are altered
copies of others, which should be redundant. In the other all images differ, so that as many should
be needed. Both are studied as `rayred run` would, without Ray: a reference on all images, groups,
semantic and random subsets, trainings, the verdict. Of the copies it is also counted which are in a
group with their originals, in the space of the reference and in that of the pixels.

    .venv/bin/python -m benchmarks.evidence.planted
    .venv/bin/python -m benchmarks.evidence.planted --dataset parquet:TRAIN_GLOB --test TEST_GLOB
    ATEN_CPU_CAPABILITY=default .venv/bin/python -m benchmarks.evidence.planted --repetitions 5

Legend: N training images, M test images, T trials, D dimensions of an embedding.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from benchmarks.evidence import choices
from benchmarks.evidence.rates import SELECTORS, judged, of_alike, of_pairs, of_verdicts
from benchmarks.evidence.tables import print_rows
from benchmarks.evidence.trainings import (
    CLASSES,
    MODEL,
    PRECISION,
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
from rayred.training import Outcome, Task, embed_images, train_model

SHARES = (0.1, 0.3, 0.5)
"""Of the images, those that are planted or left out."""


@dataclass(frozen=True)
class Problem:
    """What is trained on."""

    drawn: int
    """Images of a class, drawn at random, among which those of a training set are chosen."""
    class_size: int
    """Training images of a class, copies included."""
    margins: tuple[float, float]
    """Of equivalence, in points."""
    recipe: Train
    trials: int = 12
    """Of each subset."""


DIGITS = Problem(
    60,
    20,
    (1.0, 2.0),
    Train.model_validate({"steps": 200, "batch_size": 64, "augment": {"pad": 1, "flip": False}}),
)
PHOTOS = Problem(
    500,
    100,
    (2.0, 4.0),
    Train.model_validate(
        {"steps": 100, "batch_size": 64, "augment": {"pad": 2}, "precision": PRECISION}
    ),
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


def training_set(pool: Split, problem: Problem, one: Repetition) -> tuple[Split, Rows, Rows]:
    """Return a training set, the original of each of its images, and the rows of the pool it uses.

    The originals of a class are unlike each other: among some images drawn at random, each is the
    farthest from those before it. Originals and copies are in random order.
    """
    rng = np.random.default_rng([one.number, round(100 * one.share), one.planted])
    size = problem.class_size
    copies = round(one.share * size) if one.planted else 0
    pixels = np.asarray(pool.images)
    images, originals = [], []
    for members in choices.members_of(pool.labels):
        drawn = rng.choice(members, problem.drawn, replace=False)
        chosen = drawn[unlike_each_other(pixels[drawn], size - copies, 0)]
        copied = rng.permutation(chosen)[:copies]
        order = rng.permutation(size)
        changed = [as_pixels(altered(pixels[row].astype(float), rng))[None] for row in copied]
        images.append(np.concatenate([pixels[chosen], *changed])[order])
        originals.append(np.concatenate([chosen, copied])[order])
    rows = np.concatenate(originals)
    names = [str(place) for place in range(len(rows))]
    split = Split(np.concatenate(images), pool.labels[rows], names, pool.classes)
    return split, rows, np.unique(rows)


def study(pool: Split, test: Split | None, problem: Problem, one: Repetition) -> dict[str, Any]:
    """Train on a training set and its subsets; return what `rates` counts.

    Without `test`, the images of the pool that the training set does not use are the test images.
    """
    split, originals, used = training_set(pool, problem, one)
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
    correct: dict[str, list[str]] = {selector: [] for selector in SELECTORS}
    for trial in range(problem.trials):
        seed = one.number * problem.trials + trial
        at_random = choices.at_random(split.labels, fraction, np.random.default_rng(seed))
        for selector, rows in zip(SELECTORS, (everything, kept, at_random), strict=True):
            outcome = _train(dataset, problem, rows, seed)
            correct[selector].append(np.packbits(outcome.correct).tobytes().hex())
    pixels = np.asarray(split.images).reshape(len(split), -1).astype(np.float32)
    return {
        "test_sizes": np.bincount(test.labels, minlength=len(test.classes)).tolist(),
        "correct": correct,
        "pairs": {
            name: {
                f"{1 - share:g}": pair_scores(space, split.labels, originals, 1 - share)
                for share in SHARES
            }
            for name, space in (("reference", x), ("pixels", pixels))
        },
    }


def _train(dataset: Dataset, problem: Problem, rows: Rows, seed: int) -> Outcome:
    return train_model(Task.for_dataset(MODEL, dataset, problem.recipe, seed), dataset, rows)


def pair_scores(
    x: NDArray[np.float32], labels: Rows, originals: Rows, fraction: float
) -> list[float | None]:
    """Return precision and recall of the pairs of one original among all pairs in a group.

    Parameters
    ----------
    x
        (N, D) embeddings.
    labels, originals
        (N,) class of each image, and the image of the pool that it is or is a copy of.
    fraction
        Groups for each image of a class.
    """
    of_groups = set(_pairs_within(choices.groups_of(x, labels, fraction)))
    of_copies = set(_pairs_within(originals))
    both = len(of_groups & of_copies)
    return [round(both / len(pairs), 3) if pairs else None for pairs in (of_groups, of_copies)]


def _pairs_within(groups: Rows) -> Iterator[tuple[int, int]]:
    for group in np.unique(groups):
        yield from combinations(np.flatnonzero(groups == group).tolist(), 2)


def _study_alone(given: argparse.Namespace, one: Repetition) -> dict[str, Any]:
    if given.dataset == "digits":
        return study(digits(), None, DIGITS, one)
    dataset = some_classes(given.dataset, given.test, CLASSES, given.out)
    return study(halved(dataset.train), halved(dataset.test), PHOTOS, one)


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
    figures: dict[str, Any] = {"trials": problem.trials, "margins": problem.margins}
    for title, rows in (
        ("verdicts", of_verdicts(done, problem.margins)),
        ("verdicts about halves of the trials on the full set", of_alike(done, problem.margins)),
        ("planted pairs in groups", of_pairs(done)),
    ):
        print(title)
        print_rows(rows)
        figures[title] = rows
    figures["repetitions"] = [judged(one, problem.margins) for one in done]
    print(f"written to {write_results(f'evidence_{name}'.replace('-', '_'), figures)}")


if __name__ == "__main__":
    main()

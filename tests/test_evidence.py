"""The studies of `benchmarks/evidence`: choices of images, notes of trainings, planted copies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmarks.evidence import choices, planted, references, steps, trainings
from benchmarks.evidence.tables import by_cell, interval
from benchmarks.evidence.trainings import Finished, Training
from rayred.clustering.groups import redundant_groups


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of digits, of which no two of a class are equally far apart, and their classes."""
    digits = load_digits(n_class=3)
    noise = np.random.default_rng(0).normal(0, 0.01, digits.data.shape)
    return (digits.data + noise).astype(np.float32), digits.target.astype(np.int64)


def test_semantic_subsets_are_those_of_rayred(rows):
    x, labels = rows
    groups = redundant_groups(x, labels, [0.7])
    assert np.array_equal(choices.semantic(x, labels, 0.7), groups.kept[0.7])


def test_a_random_image_of_each_group_is_kept(rows):
    x, labels = rows
    groups = choices.groups_of(x, labels, 0.7)
    kept = choices.semantic(x, labels, 0.7, np.random.default_rng(0))
    assert np.array_equal(np.sort(groups[kept]), np.unique(groups))
    assert not np.array_equal(kept, choices.semantic(x, labels, 0.7))


def test_a_common_height_keeps_as_many_images_in_all(rows):
    x, labels = rows
    kept = choices.at_common_height(x, labels, 0.7)
    assert len(kept) == len(labels) - round(0.3 * len(labels)) == len(np.unique(kept))
    shares = np.bincount(labels[kept]) / np.bincount(labels)
    assert shares.max() - shares.min() > 0.05


def test_images_are_parted_from_dense_to_sparse(rows):
    x, labels = rows
    part = choices.sparsity_parts(x, labels, x, labels)
    counts = np.bincount(part)
    assert len(counts) == choices.PARTS
    assert counts.max() - counts.min() <= 1
    nearest = choices.nearest_kept(x, labels, np.arange(0, len(x), 2))
    assert (nearest[::2] < 1e-6).all()
    assert nearest[part == 9].mean() > nearest[part == 0].mean()


def test_a_finished_training_is_read_as_it_was_noted():
    correct = np.random.default_rng(0).random(77) < 0.5
    one = Finished(Training("semantic", 0.7, 100, 3), correct, 93.5)
    again = Finished.of_note(json.loads(json.dumps(asdict(one.training) | one.note())), 77)
    assert again.training == one.training
    assert np.array_equal(again.correct, correct)
    assert again.fitted == 93.5
    assert again.accuracy == one.accuracy == pytest.approx(100 * correct.mean())


def test_only_missing_trainings_are_done(tmp_path):
    dataset = digits_of_three_classes()
    arrays = {
        f"{part}_{name}": getattr(split, name)
        for part, split in (("train", dataset), ("test", dataset))
        for name in ("images", "labels", "names")
    }
    np.savez(tmp_path / "images.npz", classes=np.array(dataset.classes), **arrays)
    plan = [Training("full", 1.0, 2, seed) for seed in range(3)]
    trainings.train_missing(plan[:2], lambda _: np.arange(100), tmp_path, 1)
    file = tmp_path / trainings.FINISHED
    first = file.read_text()
    assert len(first.splitlines()) == 2
    with file.open("a") as lines:
        lines.write(first[:30])  # of a study that was killed
    asked: list[Training] = []

    def rows_of(training: Training) -> np.ndarray:
        asked.append(training)
        return np.arange(100)

    trainings.train_missing(plan, rows_of, tmp_path, 1)
    assert asked == plan[2:]
    assert file.read_text().startswith(first)
    assert [
        one.training
        for one in trainings.finished(tmp_path, trainings.some_classes("", "", (), tmp_path))
    ] == plan


def digits_of_three_classes():
    pool = planted.digits()
    rows = np.flatnonzero(pool.labels < 3)
    names = [pool.names[row] for row in rows]
    return planted.Split(pool.images[rows], pool.labels[rows], names, pool.classes[:3])


def test_differences_are_of_trials_with_the_same_seed():
    def one(arm: str, fraction: float, seed: int, right: int) -> Finished:
        return Finished(Training(arm, fraction, 10, seed), np.arange(100) < right)

    done = [one("full", 1.0, seed, 80 + seed) for seed in range(3)]
    done += [one("semantic", 0.7, seed, 78 + seed) for seed in range(3)]
    done += [one("random", 0.7, seed, 74 + seed) for seed in (1, 2)]
    full, random, semantic = by_cell(done)
    assert "minus full" not in full
    assert (semantic["accuracy"], semantic["deviation"], semantic["n"]) == (79, 1, 3)
    assert semantic["minus full"] == [-2, -2, -2]
    assert semantic["minus random"][0] == 4
    assert random["minus full"][0] == -6
    assert "minus full" not in by_cell([*done[:1], one("random", 0.7, 0, 75)])[1]
    assert interval(np.array([4.0])) == [4]
    assert interval(np.array([1.0, 3.0])) == pytest.approx([2, 2 - 6.3138, 2 + 6.3138], abs=1e-3)


def test_references_are_compared_with_each_other_and_with_their_mean():
    def done(lead: int) -> list[Finished]:
        """Return results in which one reference is better than the others by some images."""
        rng = np.random.default_rng(0)
        right = {one: 80 + rng.integers(3) for one in references.planned()}
        for one in right:
            right[one] += lead * (one.arm == "reference 2") + 5 * (one.arm == references.MEAN)
        return [Finished(one, np.arange(100) < count) for one, count in right.items()]

    assert references.between_references(done(0))["p"] > 0.05
    apart = references.between_references(done(10))
    assert apart["p"] < 0.001
    mean, low, high = apart["mean minus single"]
    assert low < mean < high
    assert mean == pytest.approx(5 - 10 / 5, abs=1)


def test_the_plan_has_five_trials_of_every_point():
    counts: dict[tuple[str, float, int], int] = {}
    for one in steps.planned():
        key = one.arm, one.fraction, one.steps
        counts[key] = counts.get(key, 0) + 1
    assert set(counts.values()) == {5}
    assert len(counts) == 5 * 5 + 3 + len(steps.VARIANTS) * len(steps.VARIED_AT)


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize("share", planted.SHARES)
def test_a_share_of_the_images_is_planted(share, copies):
    pool = planted.digits()
    one = planted.Repetition(share, copies, 0)
    split, originals, used = planted.training_set(pool, 20, one)
    assert np.bincount(split.labels).tolist() == [20] * 10
    assert np.array_equal(split.labels, pool.labels[originals])
    assert np.array_equal(np.unique(originals), used)
    assert len(used) == 200 - (round(share * 200) if copies else 0)
    again = planted.training_set(pool, 20, one)[0]
    assert np.array_equal(split.images, again.images)
    other = planted.training_set(pool, 20, planted.Repetition(share, copies, 1))[0]
    assert not np.array_equal(split.images, other.images)


@pytest.mark.parametrize("count", [1, 3, 24, 180])
def test_what_has_finished_is_drawn(tmp_path, count):
    rng = np.random.default_rng(0)
    done = [Finished(one, rng.random(200) < 0.8) for one in steps.planned()[:count]]
    kept = {arm: np.full(choices.PARTS, 0.7) for arm in ("semantic", "random", *steps.VARIANTS)}
    steps.plot(by_cell(done), kept, tmp_path / "steps.png")
    assert (tmp_path / "steps.png").stat().st_size > 10_000


def test_the_share_of_wrong_verdicts_goes_by_the_mean_difference():
    def one(number: int, difference: float, outcome: str) -> dict[str, object]:
        found = {"outcome": outcome, "difference": difference}
        return {
            "share": 0.3,
            "planted": True,
            "number": number,
            "semantic": found,
            "random": found,
            "precision": 1.0,
            "recall": 0.5,
        }

    worse = [one(number, -1.4, "worse") for number in range(3)]
    semantic, random = planted.rates([*worse, one(3, -1.0, "equivalent")], margin=1.0)
    assert (semantic["n"], semantic["difference"][0]) == (4, -1.3)
    assert (semantic["equivalent"], semantic["undecided"], semantic["worse"]) == (1, 0, 3)
    assert semantic["wrong"] == random["wrong"] == 1
    assert (semantic["precision"], semantic["recall"]) == (1, 0.5)
    assert planted.rates([*worse, one(3, 4.4, "equivalent")], margin=1.0)[0]["wrong"] == 3


def test_photos_are_halved_by_the_means_of_four_pixels():
    images = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    half = planted.halved(planted.Split(images, np.zeros(2, np.int64), ["a", "b"], ("c",)))
    assert half.images.shape == (2, 2, 3, 3)
    assert half.images[1, 1, 2, 0] == np.round(images[1, 2:, 4:, 0].mean())


@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_a_study_of_planted_copies_runs_on_every_processor(capability):
    code = (
        "from benchmarks.evidence import planted; import json;"
        "problem = planted.replace(planted.DIGITS, class_size=6, trials=2,"
        " recipe=planted.DIGITS.recipe.model_copy(update={'steps': 3}));"
        "print(json.dumps(planted.study("
        "planted.digits(), None, problem, planted.Repetition(0.5, True, 0))))"
    )
    environment = os.environ | {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(run.stdout)
    assert found["semantic"]["outcome"] in ("equivalent", "undecided", "worse")
    assert 0 <= found["recall"] <= 1

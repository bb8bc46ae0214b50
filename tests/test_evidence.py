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
from sklearn.metrics import pairwise_distances

from benchmarks.evidence import choices, planted, rates, references, steps, trainings
from benchmarks.evidence.tables import by_cell, difference, interval
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
    for members in choices.members_of(labels):
        counts = np.bincount(part[members])
        assert len(counts) == choices.PARTS
        assert counts.max() - counts.min() <= 1
        own = x[members]
        nearest = np.sort(pairwise_distances(own, metric="cosine"), axis=1)[:, 1]
        assert nearest[part[members] == 9].mean() > nearest[part[members] == 0].mean()


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
    assert semantic["minus full"][0] == -2
    assert semantic["minus random"][0] == 4
    assert random["minus full"][0] == -6
    assert "minus semantic" not in random
    assert "minus full" not in by_cell([*done[:1], one("random", 0.7, 0, 75)])[1]
    assert by_cell([*done, *(one("short", 0.7, seed, 79 + seed) for seed in range(3))])[3][
        "minus semantic"
    ][0] == pytest.approx(1)


def test_the_interval_of_a_mean_is_that_of_student():
    assert interval(np.array([4.0])) == [4]
    assert interval(np.array([1.0, 3.0])) == pytest.approx([2, 2 - 6.3138, 2 + 6.3138], abs=1e-3)


def test_a_difference_errs_by_its_test_images_too():
    """Trials without spread, that differ in two images of 100."""
    ours = [Finished(Training("semantic", 0.7, 1, k), np.arange(100) < 78) for k in range(4)]
    theirs = [Finished(Training("random", 0.7, 1, k), np.arange(100) < 80) for k in range(4)]
    mean, low, high = difference(ours, theirs)
    assert mean == -2
    assert -7 < low < -3
    assert high - mean == pytest.approx(mean - low, abs=0.02)
    assert difference(ours, theirs, np.arange(100) < 50)[0] == 0
    assert difference(ours[:1], theirs) == []


def results_of(gain: float) -> list[Finished]:
    """Return results in which every second reference is better than the others, and means too."""
    rng = np.random.default_rng(0)
    done = []
    for one in references.planned():
        kind, number = one.arm.split()
        better = gain * (kind == references.MEANS or (kind == references.SINGLES) * int(number) % 2)
        right = 800 + 10 * one.seed + 10 * better + rng.integers(-3, 4)
        done.append(Finished(one, np.arange(1000) < right))
    return done


def test_references_differ_if_their_subsets_do_by_more_than_their_trials():
    alike = references.between_subsets(references.accuracies(results_of(0), "reference"))
    assert alike["p"] > 0.05
    assert alike["between"][1] == 0
    apart = references.between_subsets(references.accuracies(results_of(4), "reference"))
    assert apart["p"] < 0.001
    between, low, high = apart["between"]
    assert low < between < high
    assert between == pytest.approx(4 * np.std([0, 1] * 4 + [0], ddof=1), abs=0.1)
    assert apart["within"] == pytest.approx(0.2, abs=0.1)  # seeds differ by 1 point each


def test_a_mean_of_references_is_compared_with_single_ones_by_subsets():
    found = references.mean_minus_single(results_of(4))
    mean, low, high = found["difference"]
    assert low < mean < high
    assert mean == pytest.approx(4 - 4 * 4 / 9, abs=0.2)
    assert found["p"] < 0.05


def test_the_distance_in_a_mean_space_is_the_mean_of_distances():
    rng = np.random.default_rng(0)
    singles = [rng.random((6, 4)).astype(np.float32) for _ in range(9)]
    spaces = references.spaces_of(singles)
    assert list(spaces)[-3:] == ["mean 0", "mean 1", "mean 2"]
    of_each = [pairwise_distances(x, metric="cosine") for x in singles[3:6]]
    assert pairwise_distances(spaces["mean 1"], metric="cosine") == pytest.approx(
        np.mean(of_each, axis=0), abs=1e-6
    )


def test_overlaps_of_references(rows):
    x, labels = rows
    rng = np.random.default_rng(0)
    singles = [x + rng.normal(0, 2, x.shape).astype(np.float32) for _ in range(9)]
    found = references.overlaps(references.spaces_of(singles), labels, 0.7)
    assert found["overlap at random"] == round(0.7 / 1.3, 3)
    assert found["overlap by sparsity"][0] > found["overlap at random"]
    assert found["overlap"][0] > found["overlap by sparsity"][0]
    same = references.overlaps(references.spaces_of([x] * 9), labels, 0.7)
    assert same["overlap"] == same["agreement of groups"] == [1, 1, 1]


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
    split, originals, used = planted.training_set(pool, planted.DIGITS, one)
    assert np.bincount(split.labels).tolist() == [20] * 10
    assert np.array_equal(split.labels, pool.labels[originals])
    assert np.array_equal(np.unique(originals), used)
    assert len(used) == 200 - (round(share * 200) if copies else 0)
    again = planted.training_set(pool, planted.DIGITS, one)[0]
    assert np.array_equal(split.images, again.images)
    other = planted.training_set(pool, planted.DIGITS, planted.Repetition(share, copies, 1))
    assert not np.array_equal(split.images, other[0].images)
    assert len(np.intersect1d(used, other[2])) < len(used) / 3


def test_copies_are_as_often_before_their_originals_as_after():
    pool = planted.digits()
    one = planted.Repetition(0.5, True, 0)
    split, originals, _ = planted.training_set(pool, planted.DIGITS, one)
    unchanged = (split.images == pool.images[originals]).all(axis=(1, 2, 3))
    first = [np.flatnonzero(originals == row)[0] for row in np.unique(originals)]
    assert unchanged.sum() == len(first) == 100
    assert 30 < unchanged[first].sum() < 70


def test_pairs_of_copies_are_found_where_they_are_closest():
    x = np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1], [1, 1], [1, -1]], np.float32)
    originals, labels = np.array([7, 7, 8, 8, 9, 5]), np.zeros(6, np.int64)
    assert planted.pair_scores(x, labels, originals, 4 / 6) == [1, 1]
    assert planted.pair_scores(x, labels, originals, 5 / 6) == [1, 0.5]
    assert planted.pair_scores(x, labels, originals, 1.0) == [None, 0]


@pytest.mark.parametrize("count", [1, 3, 24, 180])
def test_what_has_finished_is_drawn(tmp_path, count):
    rng = np.random.default_rng(0)
    done = [Finished(one, rng.random(200) < 0.8) for one in steps.planned()[:count]]
    kept = {arm: np.full(choices.PARTS, 0.7) for arm in ("semantic", "random", *steps.VARIANTS)}
    found = [-1.0, -2.0, 0.0]
    images = [{"steps": 117, **dict.fromkeys((*steps.CLASSES, "dense", "sparse"), found)}]
    steps.plot(by_cell(done), images if count > 3 else [], kept, tmp_path / "steps.png")
    assert (tmp_path / "steps.png").stat().st_size > 10_000


def repetition(number: int, semantic: int, random: int, full: int = 900) -> dict[str, object]:
    """Return a repetition whose six trials have so many of 1,000 test images right."""

    def packed(right: int) -> list[str]:
        rows = np.random.default_rng(number).random((6, 1000)).argsort(axis=1) < right
        return [np.packbits(row).tobytes().hex() for row in rows]

    correct = {"full": packed(full), "semantic": packed(semantic), "random": packed(random)}
    one: dict[str, object] = {"share": 0.3, "planted": True, "number": number, "cpu": "DEFAULT"}
    pairs = {space: {"0.7": [1.0, 0.5]} for space in ("reference", "pixels")}
    return one | {"test_sizes": [500, 500], "correct": correct, "pairs": pairs}


def test_verdicts_are_counted_by_the_mean_difference():
    done = [repetition(number, 900, 800) for number in range(3)]
    done.append(repetition(3, 850, 900))
    semantic, loose, random, _ = rates.of_verdicts(done, (5.0, 50.0))
    assert (semantic["n"], semantic["difference"][0], semantic["deviation"]) == (4, -1.25, 2.5)
    assert (semantic["equivalent"], semantic["worse"]) == (3, 1)
    assert (semantic["right"], semantic["wrong"]) == (4, 0)  # both hold of a loss of 1.25
    assert loose["equivalent"] == loose["right"] == 4
    assert random["difference"][0] == -7.5
    assert (random["equivalent"], random["worse"], random["wrong"]) == (1, 3, 1)
    low, high = random["wrong, %"]
    assert (low, high) == pytest.approx((0.6, 80.6), abs=0.1)
    assert rates.of_pairs(done)[0] == {
        "share": 0.3,
        "space": "reference",
        "fraction": "0.7",
        "n": 4,
        "precision": 1.0,
        "recall": 0.5,
    }


def test_a_loss_is_wrong_between_trials_that_are_alike():
    (alike,) = rates.of_alike([repetition(number, 500, 500) for number in range(3)], (5.0,))
    assert (alike["n"], alike["equivalent"], alike["wrong"]) == (3, 3, 0)
    apart = repetition(0, 500, 500)
    halves = {"full": apart["correct"]["full"][::2] * 2}
    halves["full"][1::2] = apart["correct"]["semantic"][::2]
    (row,) = rates.of_alike([apart | {"correct": halves}], (5.0,))
    assert (row["worse"], row["right"], row["wrong"]) == (1, 0, 1)


def test_nothing_is_claimed_of_networks_that_learned_nothing():
    done = [repetition(number, 500, 500, full=500) for number in range(2)]
    row = rates.of_verdicts(done, (5.0,))[0]
    assert (row["no claim possible"], row["right"], row["wrong"]) == (2, 0, 0)


def test_photos_are_halved_by_the_means_of_four_pixels():
    images = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    half = planted.halved(planted.Split(images, np.zeros(2, np.int64), ["a", "b"], ("c",)))
    assert half.images.shape == (2, 2, 3, 3)
    assert half.images[1, 1, 2, 0] == np.round(images[1, 2:, 4:, 0].mean())


@pytest.mark.parametrize("capability", ["default", "avx2", "avx512"])
def test_a_study_of_planted_copies_runs_on_every_processor(capability):
    code = (
        "from benchmarks.evidence import planted; import json;"
        "problem = planted.replace(planted.DIGITS, drawn=12, class_size=6, trials=2,"
        " recipe=planted.DIGITS.recipe.model_copy(update={'steps': 3}));"
        "print(json.dumps(planted.study("
        "planted.digits(), None, problem, planted.Repetition(0.5, True, 0))))"
    )
    environment = os.environ | {"ATEN_CPU_CAPABILITY": capability, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    one = {"share": 0.5, "planted": True, "number": 0, "cpu": capability}
    found = rates.judged(one | json.loads(run.stdout), planted.DIGITS.margins)
    assert found["outcomes within 1"]["semantic"] in rates.OUTCOMES
    assert 0 <= found["pairs"]["reference"]["0.5"][1] <= 1

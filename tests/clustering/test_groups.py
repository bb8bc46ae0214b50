"""Redundant groups against the linkage of every class by itself."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

from rayred.clustering import groups as groups_module
from rayred.clustering.groups import grow_trees, redundant_groups
from rayred.clustering.trees import kept_images
from rayred.config import Linkage
from rayred.linkage import complete_linkage, engine, representatives
from tests.linkage.test_against_scipy import as_partition


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(200, 8)).astype(np.float32), rng.integers(0, 3, 200)


def test_one_row_of_every_cluster_of_every_class_is_kept(rows):
    x, labels = rows
    found = redundant_groups(x, labels, [0.7, 0.3])
    for fraction, kept in found.kept.items():
        expected = []
        for label in range(3):
            members = np.flatnonzero(labels == label)
            count = kept_images(len(members), fraction)
            clusters = complete_linkage(x[members], count).labels(count)
            expected += members[representatives(x[members], clusters)].tolist()
            mine = found.trees.groups(fraction)[members]
            assert len(np.unique(mine)) == count
            assert np.array_equal(mine - mine.min(), clusters)
        assert kept.tolist() == sorted(expected)
        assert len(np.unique(found.trees.groups(fraction)[kept])) == len(kept)


def test_classes_may_be_named_by_text(rows):
    x, labels = rows
    names = np.array(["cat", "dog", "eel"])[labels]
    by_number, by_name = (redundant_groups(x, given, [0.5]) for given in (labels, names))
    assert np.array_equal(by_number.kept[0.5], by_name.kept[0.5])


def test_trees_of_an_earlier_call_serve_for_other_fractions(rows):
    x, labels = rows
    trees = grow_trees(x, labels, 0.3, Linkage())
    again = redundant_groups(x, labels, [0.6], trees=trees)
    assert again.trees is trees
    assert np.array_equal(again.kept[0.6], redundant_groups(x, labels, [0.6]).kept[0.6])
    assert redundant_groups(x, labels, [], trees=trees).kept == {}


def test_the_result_does_not_depend_on_the_map(rows):
    x, labels = rows

    def backwards(function, tasks):
        return [function(task) for task in reversed(list(tasks))]

    one = redundant_groups(x, labels, [0.5])
    other = redundant_groups(x, labels, [0.5], map=backwards, workers=3)
    assert np.array_equal(one.kept[0.5], other.kept[0.5])
    for ours, theirs in zip(one.trees.trees, other.trees.trees, strict=True):
        assert np.array_equal(ours.children, theirs.children)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("bytes_a_pair", [engine.BYTES_A_NEAR_PAIR, 2**40])
def test_a_class_in_strips_has_the_tree_of_a_whole_one(monkeypatch, bytes_a_pair, precision):
    """Also where so few pairs fit into memory that the strips have too many."""
    monkeypatch.setattr(engine, "BYTES_A_NEAR_PAIR", bytes_a_pair)
    x = np.random.default_rng(1).normal(size=(1500, 16)).astype(np.float32)
    labels = np.repeat([0, 1], [200, 1300])
    linkage = Linkage(precision=precision)
    strips = grow_trees(x, labels, 0.4, linkage, workers=2, device="cpu", spread_rows=500)
    whole = grow_trees(x, labels, 0.4, Linkage(), device="cpu")
    for ours, theirs in zip(strips.trees, whole.trees, strict=True):
        assert np.array_equal(ours.children, theirs.children)
        assert np.array_equal(ours.heights, theirs.heights)


@pytest.mark.parametrize("method", ["complete", "single"])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_row_named_is_that_of_the_array_passed_in(rows, method, workers):
    """Row 17 is row 5 of the last of three classes."""
    x, labels = rows[0].copy(), np.arange(200) % 3
    trees = grow_trees(x, labels, 0.5, Linkage(method=method))
    x[17, 3] = np.nan
    named = r"^row 17 has a value that is NaN or infinite \(class 2\)$"
    for given in (None, trees):
        with pytest.raises(ValueError, match=named):
            redundant_groups(x, labels, [0.5], Linkage(method=method), workers=workers, trees=given)
    with pytest.raises(ValueError, match=named):
        grow_trees(x, labels, 0.5, Linkage(method=method))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_of_several_bad_rows_the_first_is_named_with_their_number(rows, value, monkeypatch):
    monkeypatch.setattr("rayred.linkage.rows.BLOCK_BYTES", 7 * 8 * 4)  # seven rows a block
    x, labels = rows[0].copy(), np.array(["cat", "dog", "eel"])[rows[1]]
    x[[150, 160], 2] = value
    x[[40, 41]] = -0.0
    message = (
        rf"^row 40 is all zero: its cosine distance is undefined \(class {str(labels[40])!r}\),"
        r" the first of 4 rows that cannot be used$"
    )
    with pytest.raises(ValueError, match=message):
        redundant_groups(x, labels, [0.5])
    x[[40, 41]] = 1
    with pytest.raises(ValueError, match=r"^row 150 has a value .* the first of 2 rows"):
        redundant_groups(x, labels, [0.5])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["cat", None, "dog", "cat"], "row 1 has the label None"),
        (["cat", np.nan, "dog", "cat"], "row 1 has the label nan"),
        ([0, None, 1, 0], "row 1 has the label None"),
        ([None, 0, 1, 0], "row 0 has the label None"),
        (np.array(["cat", 7, "dog", "cat"], object), "row 1 has the label 7"),
        (np.zeros(4), "expected integer or text labels, got dtype float64"),
        (np.zeros(4, "M8[D]"), "got dtype datetime64"),
        ([0, 1, 1], r"expected 4 labels, one a row, got shape \(3,\)"),
        ([[0], [1], [1], [0]], r"got shape \(4, 1\)"),
    ],
)
def test_labels_that_are_missing_or_of_another_kind(labels, message):
    with pytest.raises(ValueError, match=message):
        redundant_groups(np.eye(4), labels, [0.5])


@pytest.mark.parametrize(
    "labels",
    [
        ["b", "b", "a", "a"],
        np.array(["b", "b", "a", "a"], object),
        [b"b", b"b", b"a", b"a"],
        [True, True, False, False],
        np.array([2**64 - 1, 2**64 - 1, 2**64 - 2, 2**64 - 2], np.uint64),
        [2**70, 2**70, 1, 1],
        [np.int8(1), 1, 0, np.int64(0)],
    ],
)
def test_labels_of_every_kind_make_their_classes(labels):
    trees = grow_trees(np.eye(4), labels, 0.5, Linkage())
    assert [rows.tolist() for rows in trees.members] == [[2, 3], [0, 1]]


@pytest.mark.parametrize("dtype", [np.float16, ">f4", np.longdouble, np.int64, np.int8, np.bool_])
def test_rows_of_every_dtype_have_the_groups_of_their_values(rows, dtype):
    x = (rows[0] * 20).round()
    x[:, 0] = 1
    x = x.astype(dtype)
    found = redundant_groups(np.asfortranarray(x), rows[1], [0.5])
    expected = redundant_groups(x.astype(np.float64), rows[1], [0.5])
    assert np.array_equal(found.kept[0.5], expected.kept[0.5])


@pytest.mark.parametrize("scale", [1e-60, 1e60, 1e-300, 1e300])
def test_the_scale_of_float64_rows_does_not_matter(rows, scale):
    x = rows[0].astype(np.float64)
    found = redundant_groups(x * scale, rows[1], [0.5])
    assert np.array_equal(found.kept[0.5], redundant_groups(x, rows[1], [0.5]).kept[0.5])


def test_complex_rows_and_trees_of_other_rows_raise(rows):
    x, labels = rows
    with pytest.raises(ValueError, match="expected real numbers, got dtype complex"):
        redundant_groups(x * 1j, labels, [0.5])
    trees = grow_trees(x, labels, 0.5, Linkage())
    with pytest.raises(ValueError, match="the trees are not of these rows, of which there are 9"):
        redundant_groups(x[:9], labels[:9], [0.5], trees=trees)


def test_a_fraction_out_of_range_raises():
    x = np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match=r"expected a number in \(0, 1\]"):
        redundant_groups(x, [0, 1, 1, 0], [1.5])


def test_near_copies_that_were_planted_are_the_groups():
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, 2], 40)
    originals = rng.normal(size=(120, 32))
    copied = np.concatenate([np.flatnonzero(labels == label)[:10] for label in range(3)])
    copies = originals[copied] + rng.normal(scale=1e-3, size=(30, 32))
    x, of = np.concatenate([originals, copies]), np.concatenate([labels, labels[copied]])
    found = redundant_groups(x, of, [0.8])
    groups = found.trees.groups(0.8)
    assert np.array_equal(groups[120:], groups[copied])
    assert len(np.unique(groups)) == 120
    # Both members of a pair are equally close to their centre: the lower row is kept.
    assert found.kept[0.8].tolist() == list(range(120))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("method", ["complete", "average"])
def test_rows_of_zeros_are_refused_or_kept_apart(method, workers):
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(60, 12)))
    labels = np.repeat([0, 1, 2], 20)
    zero = np.array([20, 25, 39])
    x[zero] = 0
    linkage = Linkage(method=method)
    with pytest.raises(ValueError, match="row 20 is all zero"):
        redundant_groups(x, labels, [0.5], linkage, workers=workers)
    groups = redundant_groups(x, labels, [0.5], linkage, workers=workers, zero_rows="apart")
    of = groups.trees.groups(0.5)
    assert len(set(of[zero])) == 1
    assert np.flatnonzero(of == of[20]).tolist() == zero.tolist()
    assert np.isin([20], groups.kept[0.5])
    assert not np.isin(zero[1:], groups.kept[0.5]).any()

    # The other rows of the class are those of a class without zeros that keeps one fewer.
    others = np.setdiff1d(np.arange(20, 40), zero)
    alone = redundant_groups(x[others], labels[others], [9 / 17], linkage)
    assert as_partition(of[others]) == as_partition(alone.trees.groups(9 / 17))
    # And what the other classes of a task are makes no difference to a bit.
    for label in (0, 2):
        rows = labels == label
        apart = redundant_groups(x[rows], labels[rows], [0.5], linkage)
        assert apart.trees.trees[0] == groups.trees.trees[label]

    again = redundant_groups(
        x, labels, [0.7], linkage, trees=groups.trees, zero_rows="apart", workers=workers
    )
    assert np.isin([20], again.kept[0.7])


def test_a_large_class_with_rows_of_zeros_is_spread():
    x = np.abs(np.random.default_rng(1).normal(size=(80, 6)))
    x[[3, 70]] = 0
    labels = np.zeros(80, int)
    given = {"fraction": 0.5, "linkage": Linkage(), "zero_rows": "apart"}
    spread = grow_trees(x, labels, **given, workers=2, spread_rows=50)
    assert spread.trees == grow_trees(x, labels, **given).trees


@pytest.mark.parametrize("spread_rows", [50, 500])
def test_what_happens_inside_a_class_is_shown(monkeypatch, spread_rows):
    shown = []

    class Bar:
        def update(self, n=1):
            pass

        def set_postfix_str(self, text):
            shown.append(text)

    monkeypatch.setattr(groups_module, "progress_bar", lambda *_: nullcontext(Bar()))
    x = np.random.default_rng(0).normal(size=(200, 4))
    grow_trees(x, np.zeros(200, int), 0.5, Linkage(), workers=2, spread_rows=spread_rows)
    assert shown[0].startswith("0 of 100 merges, near pairs of 200 clusters ")
    assert shown[0].endswith("%")
    assert [text for text in shown if text][-1].startswith("100 of 100 merges, ")

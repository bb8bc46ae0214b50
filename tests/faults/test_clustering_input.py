"""Rows, labels and fractions that cannot be clustered: one sentence that names what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rayred import redundant_groups
from rayred.linkage.rows import ALL_ZERO, NOT_FINITE
from tests.conftest import rayred_here

X = np.random.default_rng(0).normal(size=(6, 3))
LABELS = np.array(["b", "a", "b", "a", "b", "a"])


def zero_in(row: int, value: float = 0.0) -> np.ndarray:
    x = X.copy()
    x[row] = value
    return x


@pytest.mark.parametrize(
    ("x", "labels", "said"),
    [
        (zero_in(3), LABELS, f"x.npy: row 3 {ALL_ZERO} (class 'a')"),
        (zero_in(4), LABELS, f"x.npy: row 4 {ALL_ZERO} (class 'b')"),
        (zero_in(4, np.nan), LABELS, f"x.npy: row 4 {NOT_FINITE} (class 'b')"),
        (X[:0], LABELS[:0], "x.npy: has no values: shape (0, 3); expected at least one"),
        (X[:, :0], LABELS, "x.npy: has no values: shape (6, 0); expected at least one"),
        (X, LABELS[:0], "y.npy: has no values: shape (0,); expected at least one"),
        (X, LABELS[:5], "y.npy: expected 6 labels, one an embedding, got shape (5,)"),
        (X[0], LABELS, "x.npy: expected embeddings of shape (n, d), got shape (3,)"),
        (np.float64(3), LABELS, "x.npy: expected embeddings of shape (n, d), got shape ()"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_clustered(tmp_path: Path, x, labels, said):
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", labels)
    done = rayred_here(
        "cluster", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "--keep", "0.5",
        "--out", tmp_path / "out.npy",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"rayred: {tmp_path}/{said}\n"
    assert not (tmp_path / "out.npy").exists()


def test_one_row_is_kept(tmp_path: Path):
    np.save(tmp_path / "x.npy", X[:1])
    np.save(tmp_path / "y.npy", LABELS[:1])
    done = rayred_here(
        "cluster", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "--keep", "0.1",
        "--out", tmp_path / "out.npy",
    )  # fmt: skip
    assert done.returncode == 0
    assert np.load(tmp_path / "out.npy").tolist() == [0]


@pytest.mark.parametrize("fraction", [0, -1, 2, 1.0001, float("nan"), float("inf"), "0.5", None])
@pytest.mark.parametrize("grown", [False, True])
def test_every_fraction_is_checked(fraction, grown):
    trees = redundant_groups(X, LABELS, [0.5]).trees if grown else None
    with pytest.raises(ValueError, match=r"^fraction is .*; expected a number in \(0, 1\]$"):
        redundant_groups(X, LABELS, [0.5, fraction], trees=trees)


def test_no_fractions_need_trees():
    with pytest.raises(ValueError, match=r"^no fractions; expected at least one, or trees of an"):
        redundant_groups(X, LABELS, [])
    trees = redundant_groups(X, LABELS, [0.5]).trees
    assert redundant_groups(X, LABELS, [], trees=trees).kept == {}


def test_fractions_may_be_an_array():
    kept = redundant_groups(X, LABELS, np.array([0.5, 1.0])).kept
    assert [len(rows) for rows in kept.values()] == [4, 6]


def test_trees_of_other_labels_are_refused():
    trees = redundant_groups(X, LABELS, [0.5]).trees
    with pytest.raises(ValueError, match="the trees are of rows with other labels"):
        redundant_groups(X, LABELS[::-1], [0.5], trees=trees)
    with pytest.raises(ValueError, match="the trees are not of these rows"):
        redundant_groups(X[:5], LABELS[:5], [0.5], trees=trees)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (0,)])
def test_empty_arrays_are_named_by_their_shape(shape):
    with pytest.raises(
        ValueError, match=r"expected a non-empty array of shape \(n, d\), got shape"
    ):
        redundant_groups(np.empty(shape), [], [0.5])

"""Subsets that were chosen before the study, and what others are like beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rayred.config import Sweep
from rayred.config.file import parse_experiment
from rayred.data import load_dataset
from rayred.errors import ConfigError, DataError
from rayred.selection import SELECTORS, Candidates, make_subsets
from rayred.selection.given import read_given

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
GIVEN = np.array([0, 4, 5, 7])


def test_other_selectors_keep_as_many_of_each_class():
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(size=8) for name in ("el2n", "forgetting")}
    candidates = Candidates(LABELS, rng.normal(size=(8, 3)), scores=scores, given=GIVEN)
    a_class_apart = [
        name for name in SELECTORS if name not in ("semantic", "el2n", "forgetting", "ccs")
    ]
    sweep = Sweep(
        fractions=[1.0, 0.5], selectors=["given", *a_class_apart], subset="kept.npy", trials=2
    )
    subsets = make_subsets(candidates, sweep, seed=0)
    assert subsets["given-0.5"].tolist() == GIVEN.tolist()
    assert len(subsets["full-1.0"]) == 8
    assert {"random-0.5-0", "random-0.5-1", "k_center-0.5"} < subsets.keys()
    for name, subset in subsets.items():
        if name != "full-1.0":
            assert np.bincount(LABELS[subset]).tolist() == [1, 3], name


@pytest.fixture(scope="module")
def train():
    return load_dataset("digits").train


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0.5, 1.5], "expected rows, whole numbers"),
        ([[1, 2], [3, 4]], "expected rows, whole numbers"),
        ([1, 1, 2], "1 of its rows are there twice"),
        ([0, -1, 5000], "2 of its rows are no images of the data set .first: row -1."),
        ([0, 1, 2], "keeps no image of class"),
        (range(1000), r"keeps 1,000 of 1,297 images; sweep.fractions needs 0.771, not 0.5"),
        (range(1297), r"keeps 1,297 of 1,297 images; sweep.fractions needs 1, not 0.5"),
    ],
)
def test_what_is_no_such_subset_is_refused(tmp_path, train, rows, message):
    np.save(tmp_path / "rows.npy", np.array(rows))
    with pytest.raises(DataError, match=message):
        read_given(tmp_path / "rows.npy", train, 0.5)


def test_rows_are_those_of_the_users_data(tmp_path, train):
    np.save(tmp_path / "rows.npy", 2 * np.arange(0, 1000)[::-1])
    known = replace(train, rows=2 * train.rows)
    assert read_given(tmp_path / "rows.npy", known, 0.77).tolist() == list(range(1000))


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"subset": "a.npy"}, "sweep.subset goes with the selector 'given'"),
        ({"selectors": ["given", "random"]}, "sweep.subset goes with the selector 'given'"),
        ({"subset": "a.npy", "selectors": ["given"]}, "its share beside 1"),
        (
            {"subset": "a.npy", "selectors": ["given", "semantic"], "fractions": [1.0, 0.5]},
            "no 'semantic'",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(sweep, message):
    with pytest.raises(ConfigError, match=message):
        parse_experiment({"dataset": "digits", "sweep": sweep}, "x.yaml")

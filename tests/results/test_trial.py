import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from rayred.results import trial as values
from rayred.results.table import save_results
from rayred.results.trial import Trial, TrialResult, pack_correct

TRIAL = Trial("semantic", 0.5, 1, 8, "semantic-0.5")
POINT = {"step": 8, "epoch": 4.0, "train_loss": 0.1, "lr": 0.0, "test_accuracy": 0.5}


def result(n_test: int = 11) -> tuple[TrialResult, np.ndarray]:
    correct = np.random.default_rng(n_test).random(n_test) < 0.5
    made = TrialResult(
        TRIAL, 648, "finished", 0.5, 1.25, curve=(POINT,), correct=pack_correct(correct)
    )
    return made, correct


@pytest.mark.parametrize("n_test", [1, 7, 8, 9, 500, 10_000])
def test_correct_images_are_read_back_from_text(n_test):
    made, correct = result(n_test)
    assert len(made.correct) <= n_test / 6 + 4  # four signs for three bytes, a bit an image
    read = TrialResult.from_json(json.loads(json.dumps(asdict(made)))).correct_images(n_test)
    assert read is not None
    assert read.dtype == np.bool_
    np.testing.assert_array_equal(read, correct)


def test_result_without_correct_images_has_none():
    assert TrialResult(TRIAL, 648, "failed", reason="the loss is nan").correct_images(11) is None


def test_correct_images_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"semantic-0\.5-1: its correct images are 2 bytes, not 3"):
        result(11)[0].correct_images(17)


@pytest.mark.parametrize("made", [result()[0], TrialResult(TRIAL, 648, "failed", reason="nan")])
def test_stored_result_is_read_back(made):
    assert TrialResult.from_json(asdict(made)) == made
    assert TrialResult.from_json(json.loads(json.dumps(asdict(made)))) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stored: stored.pop("n_train"), "n_train: "),
        (lambda stored: stored.update(accuracy=1.0), "accuracy: "),
        (lambda stored: stored["trial"].pop("seed"), r"trial\.seed: "),
        (lambda stored: stored["trial"].update(device="cpu"), r"trial\.device: "),
        (lambda stored: stored.update(trial=None), "trial: "),
        (lambda stored: stored.update(curve=None), "curve: "),
        (lambda stored: stored.update(status="running"), "status: "),
    ],
)
def test_stored_values_of_anything_else_are_refused_by_their_key(change, message):
    stored = asdict(result()[0])
    change(stored)
    with pytest.raises(ValueError, match=f"^not a stored trial: {message}"):
        TrialResult.from_json(stored)


def test_table_of_results_is_without_images(tmp_path):
    save_results(tmp_path / "results.parquet", [result()[0]], None)
    columns = "selector fraction trial seed n_train test_accuracy train_seconds status reason"
    columns += " worst_class worst_class_accuracy"
    assert list(pd.read_parquet(tmp_path / "results.parquet")) == columns.split()


def test_table_of_results_has_the_worst_class_of_each_trial_that_is_known(tmp_path):
    correct = np.array([True, True, False, True])
    kept = TrialResult(TRIAL, 648, "finished", 0.75, 1.0, correct=pack_correct(correct))
    failed = TrialResult(TRIAL, 648, "failed", reason="the loss is nan")
    test = values.TestSplit((2, 2), ("cat", "dog"), np.array([0, 0, 1, 1]))
    save_results(tmp_path / "results.parquet", [kept, failed], test)
    table = pd.read_parquet(tmp_path / "results.parquet")
    assert table["worst_class"].tolist() == ["dog", ""]
    assert table["worst_class_accuracy"].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)


def test_test_split_has_the_images_of_all_classes():
    assert values.TestSplit((5, 3, 0, 2)).n == 10

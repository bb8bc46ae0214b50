"""Results of trials as they are stored: by this version, or another."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from rayred.results.trial import Trial, TrialResult, pack_correct

TRIAL = Trial("semantic", 0.5, 0, 7, "semantic-0.5")


@pytest.mark.parametrize("n_test", [1, 8, 13])
def test_which_images_are_correct_is_kept_as_text(n_test):
    correct = np.random.default_rng(n_test).random(n_test) < 0.5
    result = TrialResult(TRIAL, 10, "finished", 0.5, 1.0, correct=pack_correct(correct))
    again = TrialResult.from_json(asdict(result))
    assert again == result
    assert np.array_equal(again.correct_images(n_test), correct)
    assert again.correct_images(n_test + 8) is None
    assert TrialResult(TRIAL, 10, "failed").correct_images(n_test) is None


@pytest.mark.parametrize(
    "change", [{"trial": {"a": 1}}, {"newer": 1}, {"n_train": None, "trial": None}]
)
def test_a_result_of_another_version_is_no_type_error(change):
    stored = {**asdict(TrialResult(TRIAL, 10, "failed")), **change}
    with pytest.raises(ValueError, match="no result of a trial"):
        TrialResult.from_json(stored)

"""What is planted is found, and what is needed is not called redundant: whole studies."""

from __future__ import annotations

import pytest

from benchmarks.planted import FRACTION, PLANTED, pair_scores, study, write_digits

TRIALS = 8


@pytest.mark.usefixtures("cluster")
def test_near_copies_are_found_redundant_by_as_much_as_was_planted(tmp_path):
    write_digits(tmp_path / "planted", PLANTED)
    fractions = [1.0, FRACTION, 0.6]
    sweep = {"fractions": fractions, "selectors": ["semantic"], "trials": TRIALS}
    verdict = study(tmp_path / "planted", tmp_path / "run", sweep=sweep).verdict
    assert verdict.equivalent_fraction == FRACTION
    assert verdict.sentence.startswith("30 % of planted is redundant")
    precision, recall = pair_scores(tmp_path / "planted", tmp_path / "run")
    assert precision > 0.9
    assert recall > 0.9


@pytest.mark.usefixtures("cluster")
def test_images_that_are_all_needed_are_not_called_redundant(tmp_path):
    write_digits(tmp_path / "needed", 0)
    sweep = {"fractions": [1.0, FRACTION], "selectors": ["semantic"], "trials": TRIALS}
    verdict = study(tmp_path / "needed", tmp_path / "run", sweep=sweep).verdict
    assert verdict.equivalent_fraction is None
    assert "is redundant:" not in verdict.sentence

import numpy as np
import pytest
import torch

from rayred.data import load_dataset
from rayred.results.reference import ReferenceResult, load_reference_result
from rayred.training import Trained, evaluate, load_trained, save_trained, train_model
from tests.training.examples import task, weights


def test_saved_training_is_read_back(tmp_path):
    digits = load_dataset("digits")
    outcome = train_model(task(steps=3), digits, np.arange(64))
    trained = Trained.of(task(steps=3), outcome)
    save_trained(tmp_path / "reference.pt", trained)
    read = load_trained(tmp_path / "reference.pt")
    assert (read.curve, read.spec) == (trained.curve, trained.spec)
    assert (read.test_accuracy, read.train_seconds) == (
        outcome.test_accuracy,
        outcome.train_seconds,
    )
    np.testing.assert_array_equal(read.correct, outcome.correct)
    assert read.correct.mean() == outcome.test_accuracy
    assert torch.equal(weights(read.model()), weights(outcome.model))
    assert evaluate(read.model(), digits.test) == outcome.test_accuracy
    facts = load_reference_result(tmp_path / "reference.pt")
    assert facts == ReferenceResult(read.test_accuracy, read.train_seconds, read.curve)


def test_what_is_no_file_of_torch_is_refused(tmp_path):
    (tmp_path / "reference.pt").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"reference\.pt: no file of torch"):
        load_reference_result(tmp_path / "reference.pt")

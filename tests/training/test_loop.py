from copy import deepcopy

import numpy as np
import pytest
import torch

from rayred.data import load_dataset
from rayred.errors import TrainingError
from rayred.models import build_model
from rayred.training import evaluate, train_model
from tests.training.examples import MUON, large_digits, task, weights


def test_same_seed_gives_the_same_weights_and_another_seed_others():
    digits, subset = load_dataset("digits"), np.arange(0, 1297, 3)
    first = train_model(task(), digits, subset)
    again = train_model(task(), digits, subset)
    other = train_model(task(seed=1), digits, subset)
    assert torch.equal(weights(first.model), weights(again.model))
    assert first.curve == again.curve
    assert not torch.equal(weights(first.model), weights(other.model))


@pytest.mark.parametrize(("model", "changes"), [("resnet8", {}), ("fastnet-small", MUON)])
def test_resumed_training_has_the_bits_of_an_uninterrupted_one(model, changes):
    dataset = load_dataset("digits") if model == "resnet8" else large_digits(64)
    subset, states = np.arange(0, 640, 3), {}
    job = task(model=model, steps=8, checkpoint_steps=3, **changes)

    def save(state):
        states[state["step"]] = deepcopy(state)

    whole = train_model(job, dataset, subset, save=save)
    assert sorted(states) == [3, 6]
    assert states[6]["summed"] == 2  # the first epoch ends after the fourth step
    assert states[6]["pack"][0]["losses"] > 0
    rest = train_model(job, dataset, subset, resume=states[6])
    assert torch.equal(weights(whole.model), weights(rest.model))
    assert whole.curve == rest.curve


def test_loss_falls():
    images = np.arange(64)
    outcome = train_model(task(steps=20, warmup_steps=0), load_dataset("digits"), images)
    losses = [point.train_loss for point in outcome.curve]
    assert len(losses) == 20
    assert losses[-1] < losses[0]


def test_muon_trains_all_weights_but_the_frozen_ones():
    dataset, images = large_digits(64), np.arange(64)
    job = task(model="fastnet-small", steps=10, **MUON)
    torch.manual_seed(job.seed)
    initial = dict(build_model(job.spec).named_parameters())
    outcome = train_model(job, dataset, images)
    assert outcome.curve[-1].train_loss < outcome.curve[0].train_loss
    for name, weight in outcome.model.named_parameters():
        assert weight.requires_grad != torch.equal(weight, initial[name]), name
    first = torch.tensor(job.spec.whitening)
    whiten = outcome.model.network.whiten.weight
    assert not whiten.requires_grad
    assert torch.equal(whiten[: len(first)].flatten(1), first)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_weights_stay_float32_in_every_precision(precision):
    exact = task(steps=3, precision=precision, deterministic=True)
    outcome = train_model(exact, load_dataset("digits"), np.arange(128))
    state = outcome.model.state_dict()
    floats = [value for value in state.values() if value.is_floating_point()]
    assert all(value.dtype == torch.float32 for value in floats)
    assert all(value.isfinite().all() for value in floats)


def test_curve_has_a_point_an_epoch_and_ends_with_the_test_accuracy():
    digits, points = load_dataset("digits"), []
    outcome = train_model(task(), digits, np.arange(128), points.append)
    assert outcome.curve == tuple(points)
    assert [point.step for point in points] == [2, 4, 6, 8]
    assert [point.epoch for point in points] == [1, 2, 3, 4]
    assert [point.test_accuracy is None for point in points] == [True, True, True, False]
    assert outcome.test_accuracy == points[-1].test_accuracy
    assert outcome.test_accuracy == evaluate(outcome.model, digits.test)


def test_evaluate_every_adds_test_accuracies():
    digits = load_dataset("digits")
    outcome = train_model(task(evaluate_every=2), digits, np.arange(128))
    assert [point.test_accuracy is None for point in outcome.curve] == [True, False, True, False]


def test_tick_is_called_after_every_step():
    steps = []
    train_model(task(steps=3), load_dataset("digits"), np.arange(64), tick=steps.append)
    assert steps == [1, 2, 3]


def test_loss_that_is_not_finite_raises():
    broken = task(lr=1e30, warmup_steps=0)
    with pytest.raises(
        TrainingError, match=r"the loss is (nan|inf) after step [48] of 8; lower train\.lr"
    ):
        train_model(broken, load_dataset("digits"), np.arange(256))


def test_subset_smaller_than_a_batch_is_repeated_within_it():
    outcome = train_model(task(steps=3), load_dataset("digits"), np.arange(5))
    assert outcome.curve[-1].step == 3
    assert outcome.curve[-1].epoch == pytest.approx(3 * 64 / 5)


def test_steps_do_not_depend_on_the_number_of_images():
    digits = load_dataset("digits")
    steps = [train_model(task(steps=3), digits, np.arange(n)).curve[-1].step for n in (640, 100)]
    assert steps == [3, 3]

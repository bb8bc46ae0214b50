from dataclasses import replace

import numpy as np
import pytest
import torch

from rayred.config import Train
from rayred.data import load_dataset
from rayred.errors import TrainingError
from rayred.training.loop import Task, evaluate, load_model, train_model

PLAIN = {"crop": "pad", "pad": 1, "flip": False}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def task(seed: int = 0, **changes: object) -> Task:
    settings = {"steps": 40, "batch_size": 64, "augment": PLAIN, **changes}
    recipe = Train.model_validate(settings)
    return Task.for_dataset("resnet8", load_dataset("digits"), recipe, seed)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def test_same_seed_gives_the_same_weights_and_another_seed_others():
    digits, subset = load_dataset("digits"), np.arange(0, 1297, 3)
    first = train_model(task(steps=10), digits, subset)
    again = train_model(task(steps=10), digits, subset)
    other = train_model(task(seed=1, steps=10), digits, subset)
    assert torch.equal(weights(first.model), weights(again.model))
    assert first.test_accuracy == again.test_accuracy
    assert not torch.equal(weights(first.model), weights(other.model))


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one():
    digits, subset = load_dataset("digits"), np.arange(0, 1297, 3)
    snapshots = {}

    def report(point, snapshot):
        state = snapshot()
        state["model"] = {name: value.clone() for name, value in state["model"].items()}
        snapshots[point.step] = torch_copy(state)

    whole = train_model(task(), digits, subset, report)
    middle = sorted(snapshots)[len(snapshots) // 2]
    rest = train_model(task(), digits, subset, resume=snapshots[middle])
    assert torch.equal(weights(whole.model), weights(rest.model))
    assert whole.curve == rest.curve


def torch_copy(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def test_curve_has_a_point_an_epoch_and_ends_with_the_test_accuracy():
    digits = load_dataset("digits")
    outcome = train_model(task(), digits, np.arange(640))
    assert [point.step for point in outcome.curve] == [10, 20, 30, 40]
    assert [point.epoch for point in outcome.curve] == [1, 2, 3, 4]
    assert [point.test_accuracy is None for point in outcome.curve] == [True, True, True, False]
    assert outcome.curve[-1].test_accuracy == evaluate(outcome.model, digits.test)


def test_test_accuracy_is_followed_where_asked_for():
    outcome = train_model(task(evaluate_every=2), load_dataset("digits"), np.arange(640))
    assert [point.test_accuracy is None for point in outcome.curve] == [True, False, True, False]


def test_a_loss_that_is_not_finite_ends_the_training_with_its_reason():
    broken = task(lr=1e30, warmup_steps=0)
    with pytest.raises(
        TrainingError, match=r"the loss is nan after step \d+ of 40; lower train.lr"
    ):
        train_model(broken, load_dataset("digits"), np.arange(640))


def test_a_subset_smaller_than_a_batch_trains():
    outcome = train_model(task(steps=3), load_dataset("digits"), np.arange(5))
    assert outcome.curve[-1].epoch == pytest.approx(3 * 64 / 5)


def test_loaded_weights_make_the_same_model():
    digits = load_dataset("digits")
    trained = train_model(task(steps=5), digits, np.arange(640)).model
    loaded = load_model(task().spec, trained.state_dict())
    assert evaluate(loaded, digits.test) == evaluate(trained, digits.test)


def test_steps_are_fixed_whatever_the_size():
    digits = load_dataset("digits")
    sizes = [len(digits.train), 100]
    steps = [train_model(task(steps=6), digits, np.arange(n)).curve[-1].step for n in sizes]
    assert steps == [6, 6]


def test_task_is_a_value():
    assert replace(task(), seed=3) == task(seed=3)

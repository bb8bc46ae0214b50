import pytest

from rayred.config import Train
from rayred.training.curve import MAX_POINTS, is_evaluated, point_steps


def recipe(**changes):
    return Train.model_validate({"steps": 10, "batch_size": 4, **changes})


@pytest.mark.parametrize(
    ("images", "expected"),
    [(8, [2, 4, 6, 8, 10]), (10, [3, 5, 8, 10]), (40, [10]), (1000, [10]), (1, list(range(1, 11)))],
)
def test_points_are_at_the_ends_of_epochs_and_of_the_training(images, expected):
    assert sorted(point_steps(recipe(), images)) == expected


def test_long_training_has_limited_points():
    steps = point_steps(recipe(steps=100_000), 4)
    assert len(steps) == MAX_POINTS
    assert max(steps) == 100_000


def test_last_step_is_evaluated_always_and_others_by_epochs():
    assert is_evaluated(recipe(), 10, 1.0, 0.5)
    assert not is_evaluated(recipe(), 9, 9.0, 8.0)
    assert is_evaluated(recipe(evaluate_every=3), 4, 3.0, 2.5)
    assert not is_evaluated(recipe(evaluate_every=3), 4, 3.5, 3.0)

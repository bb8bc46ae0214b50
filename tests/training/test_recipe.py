import pytest

from rayred.config import Train
from rayred.training.recipe import learning_rate

PAPER = Train.model_validate({"recipe": "paper"})


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (1_250, 0.05), (2_500, 0.1), (50_000, 0.0520135), (51_250, 0.05), (100_000, 0.0)],
)
def test_paper_schedule(step, expected):
    assert learning_rate(PAPER, step) == pytest.approx(expected, abs=1e-6)


def test_paper_recipe_is_the_papers_table():
    beside = {"augment", "evaluate_every", "checkpoint_steps", "precision", "deterministic"}
    assert PAPER.model_dump(exclude=beside) == {
        "recipe": "paper",
        "optimizer": "sgd",
        "test_mirrored": False,
        "steps": 100_000,
        "batch_size": 128,
        "lr": 0.1,
        "warmup_steps": 2_500,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 1e-4,
        "label_smoothing": 0.0,
    }
    assert PAPER.augment.model_dump() == {"crop": "pad", "pad": 4, "flip": True}

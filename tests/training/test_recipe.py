import pytest
import torch

from rayred.config import Train
from rayred.training.recipe import RecipeOptimizer, learning_rate

PAPER = Train.model_validate({"recipe": "paper"})


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (1_250, 0.05), (2_500, 0.1), (50_000, 0.0520135), (51_250, 0.05), (100_000, 0.0)],
)
def test_paper_schedule_is_warm_up_and_cosine(step, expected):
    assert learning_rate(PAPER, step) == pytest.approx(expected, abs=1e-6)


def test_paper_recipe_has_the_settings_of_the_papers_table():
    expected = {
        "optimizer": "sgd",
        "steps": 100_000,
        "batch_size": 128,
        "lr": 0.1,
        "warmup_steps": 2_500,
        "momentum": 0.9,
        "nesterov": False,
        "weight_decay": 1e-4,
        "label_smoothing": 0.0,
        "augment": {"crop": "pad", "pad": 4, "flip": True},
        "test_mirrored": False,
    }
    assert PAPER.model_dump(include=set(expected)) == expected


@pytest.mark.parametrize("recipe", ["fast", "paper"])
def test_sgd_has_the_bits_of_torchs_and_resumes_from_its_state(recipe):
    settings = Train.model_validate({"recipe": recipe})
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    optimizer = RecipeOptimizer(settings, ours)
    reference = torch.optim.SGD(
        theirs.parameters(),
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )
    for step in range(4):
        x = torch.randn(7, 5)
        for model in (ours, theirs):
            model(x).square().sum().backward()
        lr = 0.01 * (step + 1)
        reference.param_groups[0]["lr"] = lr
        reference.step()
        reference.zero_grad()
        if step == 2:
            state = optimizer.state_dict()
            optimizer = RecipeOptimizer(settings, ours)
            optimizer.load_state_dict(state)
        optimizer.step(lr)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_checkpoint_settings_do_not_decide_a_result():
    often = Train.model_validate({"recipe": "paper", "checkpoint_steps": 3})
    assert often.deciding() == PAPER.deciding()
    assert often != PAPER

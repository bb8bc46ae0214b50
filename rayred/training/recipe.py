"""The recipe of a training: optimiser and learning-rate schedule.

>>> from rayred.config import Train
>>> paper = Train.model_validate({"recipe": "paper"})
>>> [round(learning_rate(paper, step), 4) for step in (0, 1_250, 2_500, 51_250, 100_000)]
[0.0, 0.05, 0.1, 0.05, 0.0]
"""

from __future__ import annotations

import math

from torch import nn
from torch.optim import SGD

from rayred.config import Train


def learning_rate(recipe: Train, step: int) -> float:
    """Return the learning rate of a step: linear warm-up from 0, then cosine to 0.

    Source: arXiv 1901.11409, section 4 (warm-up 0 to 0.1 over 2,500 of 100,000 steps).
    """
    if step < recipe.warmup_steps:
        return recipe.lr * step / recipe.warmup_steps
    decay_steps = max(1, recipe.steps - recipe.warmup_steps)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup_steps) / decay_steps))


def build_optimizer(recipe: Train, model: nn.Module) -> SGD:
    """Return SGD with the recipe's momentum and L2 penalty; the loop sets its learning rate."""
    return SGD(
        model.parameters(),
        lr=0.0,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )

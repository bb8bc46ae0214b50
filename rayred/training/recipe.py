"""The recipe of a training: optimiser and learning-rate schedule.

>>> from rayred.config import Train
>>> paper = Train.model_validate({"recipe": "paper"})
>>> [round(learning_rate(paper, step), 4) for step in (0, 1_250, 2_500, 51_250, 100_000)]
[0.0, 0.05, 0.1, 0.05, 0.0]
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Muon, Optimizer

from rayred.config import Train
from rayred.models.fast_net import FilterConv

MUON_MOMENTUM = 0.6
MUON_NS_STEPS = 3


def learning_rate(recipe: Train, step: int) -> float:
    """Return the learning rate of a step: linear warm-up from 0, then cosine to 0.

    Source: arXiv 1901.11409, section 4 (warm-up 0 to 0.1 over 2,500 of 100,000 steps).
    """
    if step < recipe.warmup_steps:
        return recipe.lr * step / recipe.warmup_steps
    decay_steps = max(1, recipe.steps - recipe.warmup_steps)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup_steps) / decay_steps))


class RecipeOptimizer:
    """The optimiser of a recipe: SGD, or Muon for filters beside SGD for the other weights."""

    def __init__(self, recipe: Train, model: nn.Module) -> None:
        """Take on the model's trained weights."""
        self.recipe = recipe
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        self.parts: list[Optimizer]
        if recipe.optimizer == "sgd":
            self.parts = [self._sgd(trained, recipe.weight_decay)]
            return
        filters = [m.weight for m in model.modules() if isinstance(m, FilterConv)]
        known = {id(weight) for weight in filters}
        others = [weight for weight in trained if id(weight) not in known]
        muon = Muon(filters, weight_decay=0, momentum=MUON_MOMENTUM, ns_steps=MUON_NS_STEPS)
        muon.register_step_pre_hook(_give_filters_unit_scale)
        # Decoupled weight decay: at the peak, a weight loses the same share whatever the rate.
        self.parts = [muon, self._sgd(others, recipe.weight_decay / recipe.lr)]

    def _sgd(self, weights: list[nn.Parameter], weight_decay: float) -> SGD:
        recipe = self.recipe
        return SGD(
            weights,
            lr=0.0,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=weight_decay,
        )

    def step(self, lr: float) -> None:
        """Take one step at a learning rate, and forget the gradients."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states of the parts."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from what `state_dict` returned."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


@torch.no_grad()
def _give_filters_unit_scale(optimizer: Optimizer, *_: object) -> None:
    """Scale each matrix of filters to a mean filter length of 1: batch norm makes scale idle."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight *= len(weight) ** 0.5 / weight.norm()

"""The recipe of a training: optimiser and learning-rate schedule.

>>> from rayred.config import Train
>>> paper = Train.model_validate({"recipe": "paper"})
>>> [round(learning_rate(paper, step), 4) for step in (0, 1_250, 2_500, 51_250, 100_000)]
[0.0, 0.05, 0.1, 0.05, 0.0]
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Muon, Optimizer
from torch.optim.sgd import sgd

from rayred.config import Train
from rayred.models.fast_net import FilterConv

MUON_MOMENTUM = 0.6
"""Momentum of Muon, as in airbench94_muon.py (github.com/KellerJordan/cifar10-airbench)."""
MUON_NS_STEPS = 3
"""Newton–Schulz iterations of Muon, from the same source."""


def learning_rate(recipe: Train, step: int) -> float:
    """Return the learning rate of a step, counted from 0: linear warm-up from 0, then cosine to 0.

    Source: arXiv 1901.11409, section 4 (warm-up 0 to 0.1 over 2,500 of 100,000 steps).
    """
    if step < recipe.warmup_steps:
        return recipe.lr * step / recipe.warmup_steps
    decay_steps = max(1, recipe.steps - recipe.warmup_steps)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup_steps) / decay_steps))


class RecipeOptimizer:
    """The optimiser of a recipe: SGD for all weights, or Muon for filters and SGD for the rest."""

    def __init__(self, recipe: Train, model: nn.Module) -> None:
        """Make the optimiser of the weights of a model that need gradients."""
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        self.parts: list[_Sgd | _Muon]
        if recipe.optimizer == "sgd":
            self.parts = [_Sgd(trained, recipe, recipe.weight_decay)]
            return
        filters = [m.weight for m in model.modules() if isinstance(m, FilterConv)]
        known = {id(weight) for weight in filters}
        others = [weight for weight in trained if id(weight) not in known]
        # Decoupled weight decay: at the peak, a weight loses the same share whatever the rate.
        self.parts = [_Muon(filters), _Sgd(others, recipe, recipe.weight_decay / recipe.lr)]

    def step(self, lr: float) -> None:
        """Take one step at a learning rate, and drop the gradients."""
        for part in self.parts:
            part.step(lr)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states of the parts."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Load the states that `state_dict` returned."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


class _Sgd:
    """torch's SGD, called as a function.

    The class `torch.optim.SGD` imports torch's compiler: 145 MB and a second in every trial.
    """

    def __init__(self, weights: list[nn.Parameter], recipe: Train, weight_decay: float) -> None:
        self.weights = weights
        self.recipe = recipe
        self.weight_decay = weight_decay
        self.momentum: list[Tensor | None] = [None] * len(weights)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        sgd(
            list(self.weights),
            cast(list[Tensor], [weight.grad for weight in self.weights]),
            self.momentum,
            lr=lr,
            momentum=self.recipe.momentum,
            nesterov=self.recipe.nesterov,
            weight_decay=self.weight_decay,
            dampening=0.0,
            maximize=False,
        )
        for weight in self.weights:
            weight.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {"momentum": self.momentum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.momentum = [
            None if one is None else one.to(weight.device)
            for one, weight in zip(state["momentum"], self.weights, strict=True)
        ]


class _Muon:
    """torch's Muon on filters of unit scale."""

    def __init__(self, filters: list[Tensor]) -> None:
        self.muon = Muon(filters, weight_decay=0, momentum=MUON_MOMENTUM, ns_steps=MUON_NS_STEPS)
        self.muon.register_step_pre_hook(_give_filters_unit_scale)

    def step(self, lr: float) -> None:
        for group in self.muon.param_groups:
            group["lr"] = lr
        self.muon.step()  # type: ignore[no-untyped-call]
        self.muon.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return self.muon.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.muon.load_state_dict(state)


@torch.no_grad()
def _give_filters_unit_scale(optimizer: Optimizer, *_: object) -> None:
    """Scale each weight to a mean filter length of 1; batch norm cancels the scale."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight *= len(weight) ** 0.5 / weight.norm()

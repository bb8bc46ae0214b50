"""Small trainings on scikit-learn's digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from rayred.config import Train
from rayred.data import Dataset, load_dataset
from rayred.training import Task

MUON = {"optimizer": "muon", "lr": 0.1, "warmup_steps": 0}


def task(seed: int = 0, model: str = "resnet8", **changes: Any) -> Task:
    """Return the task of training on digits, or on large digits for a fastnet."""
    dataset = load_dataset("digits") if model == "resnet8" else large_digits()
    settings = {"steps": 8, "batch_size": 64, "augment": {"pad": 1, "flip": False}, **changes}
    return Task.for_dataset(model, dataset, Train.model_validate(settings), seed)


def large_digits(test_images: int | None = None) -> Dataset:
    """Return digits of 16 × 16 pixels."""
    digits = load_dataset("digits")
    train, test = (
        replace(
            split,
            images=split.images[:count].repeat(2, axis=1).repeat(2, axis=2),
            labels=split.labels[:count],
        )
        for split, count in ((digits.train, None), (digits.test, test_images))
    )
    return replace(digits, train=train, test=test)


def weights(model: torch.nn.Module) -> torch.Tensor:
    """Return the whole state of a network as one vector."""
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])

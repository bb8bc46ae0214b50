"""Settings of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from rayred.config.base import FIXED, RESULT, SPEED, Float, Int, Settings

# Defaults by recipe. `paper` is the CIFAR column of the paper's training table (arXiv 1901.11409,
# section 4), whose warm-up is 2,500 of 100,000 steps.
RECIPES: dict[str, dict[str, Any]] = {
    "paper": {
        "steps": 100_000,
        "warmup_fraction": 0.025,
        "nesterov": False,
        "weight_decay": 1e-4,
        "label_smoothing": 0.0,
    },
    "fast": {
        "steps": 600,
        "warmup_fraction": 0.2,
        "nesterov": True,
        "weight_decay": 5e-4,
        "label_smoothing": 0.1,
    },
}


class Augment(Settings):
    """Training-time augmentation."""

    crop: Annotated[Literal["pad", "resized", "none"], RESULT] = "pad"
    """pad: pad, then crop at random; resized: random area and aspect ratio; none: no crop."""
    pad: Annotated[Int, Field(ge=0), RESULT] = 4
    """Padding on each side before the random crop, in pixels."""
    flip: Annotated[Literal[True, False, "alternating"], RESULT] = True
    """Mirror half of the images, left to right; alternating: the other half in the next epoch."""


class Train(Settings):
    """One training from scratch. `recipe` sets the defaults of settings that are not given."""

    recipe: Annotated[Literal["fast", "paper"], RESULT] = "fast"
    """Defaults. paper: the paper's protocol; fast: short schedule, Nesterov, label smoothing."""
    steps: Annotated[Int, Field(ge=1), RESULT]
    """Optimiser steps, the same for every subset size (fast: 600, paper: 100,000)."""
    batch_size: Annotated[Int, Field(ge=2), RESULT] = 128
    """Images per step, over all workers."""
    optimizer: Annotated[Literal["sgd", "muon"], RESULT] = "sgd"
    """sgd, or muon: Muon for a fastnet's filters, SGD for its other weights, at the same rate."""
    lr: Annotated[Float, Field(gt=0), RESULT] = 0.1
    """Peak learning rate: linear warm-up from 0, then cosine to 0."""
    warmup_steps: Annotated[Int, Field(ge=0), RESULT]
    """Steps of linear warm-up (fast: 20 % of all steps, paper: 2.5 %)."""
    momentum: Annotated[Float, Field(ge=0, lt=1), RESULT] = 0.9
    """Momentum of SGD; that of Muon is always 0.6."""
    nesterov: Annotated[bool, RESULT]
    """Nesterov momentum (fast: yes, paper: no)."""
    weight_decay: Annotated[Float, Field(ge=0), RESULT]
    """L2 penalty (fast: 5e-4, paper: 1e-4); muon: decay a step at the peak rate, not of filters."""
    label_smoothing: Annotated[Float, Field(ge=0, lt=1), RESULT]
    """Label smoothing (fast: 0.1, paper: 0)."""
    augment: Augment = Augment()
    """Training-time augmentation."""
    precision: Annotated[Literal["auto", "float32", "tf32", "bfloat16"], FIXED] = "auto"
    """Precision of products. auto: bfloat16 on GPUs that have it, else float32 (without TF32)."""
    compile: Annotated[bool, RESULT] = False
    """Compile the network (torch.compile); takes half a minute per process, meant for GPUs."""
    deterministic: Annotated[bool, RESULT] = False
    """Bitwise reproducible results on GPUs, at some cost in speed; on CPUs results always are."""
    test_mirrored: Annotated[bool, RESULT] = False
    """Classify test images by the mean logits of each image and its mirror image."""
    evaluate_every: Annotated[Int, Field(ge=0), RESULT] = 0
    """Epochs between test evaluations during training; 0: only at the end."""
    checkpoint_minutes: Annotated[Float, Field(gt=0), SPEED] = 5.0
    """Minutes between checkpoints; a killed training resumes from the last one."""
    checkpoint_steps: Annotated[Annotated[Int, Field(ge=1)] | None, SPEED] = None
    """Largest number of steps between checkpoints; null: `checkpoint_minutes` alone decides."""

    @model_validator(mode="before")
    @classmethod
    def _recipe_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        recipe = RECIPES.get(str(given.get("recipe", "fast")), RECIPES["fast"])
        filled = {key: value for key, value in recipe.items() if key != "warmup_fraction"}
        filled |= given
        steps = filled["steps"]
        if isinstance(steps, int | float) and math.isfinite(steps):
            filled.setdefault("warmup_steps", round(recipe["warmup_fraction"] * steps))
        else:
            filled.setdefault("warmup_steps", 0)  # steps is invalid: its own validation reports it
        return filled

    @model_validator(mode="after")
    def _consistent(self) -> Train:
        if self.warmup_steps > self.steps:
            raise PydanticCustomError(
                "warmup",
                "warmup_steps is {warmup}, but there are only {steps} steps",
                {"warmup": self.warmup_steps, "steps": self.steps},
            )
        if self.nesterov and self.momentum == 0:
            raise PydanticCustomError("nesterov", "nesterov needs a momentum above 0")
        return self

"""Groups of settings of an experiment: every key, its default and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rayred.search_space import dotted

# What a recipe sets where the experiment file is silent. `paper` is the CIFAR column of the
# paper's training table (arXiv 1901.11409, section 4); warm-up is its 2,500 of 100,000 steps.
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

OF_CHECKPOINTS = ("checkpoint_minutes", "checkpoint_steps")
"""Settings of a training that its outcome does not depend on."""


def _not_bool(value: object) -> object:
    if isinstance(value, bool | str):
        raise PydanticCustomError("number_type", "expected a number")
    return value


def _auto_or_count(value: object) -> object:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("auto_or_count", "expected 'auto' or a whole number of at least 1")


def _in_unit_interval(value: float) -> float:
    if not 0 < value <= 1:
        raise PydanticCustomError("fraction", "expected a fraction in (0, 1]")
    return value


Int = Annotated[int, BeforeValidator(_not_bool)]
Float = Annotated[float, BeforeValidator(_not_bool), Field(allow_inf_nan=False)]
Fraction = Annotated[Float, AfterValidator(_in_unit_interval)]


class Settings(BaseModel):
    """Base of all settings: immutable, and no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Data(Settings):
    """How the images of `dataset` are found and read."""

    test: str | None = None
    """Test split where `dataset` names a training split only, as a `parquet:GLOB`."""
    root: str = "~/.cache/rayred"
    """Folder where downloaded data sets lie (`imagenet`: where the ILSVRC2012 archives lie)."""
    image_size: Annotated[Int, Field(ge=1)] | None = None
    """Side to which images are resized and cropped, in pixels; none: as they are, all one size."""
    center_crop: Fraction = 1.0
    """Share of the shorter side that the central crop keeps when `image_size` resizes."""
    load: Literal["auto", "memory", "stream"] = "auto"
    """Keep decoded images in memory, or decode them from files while training."""
    undecodable: Literal["fail", "skip"] = "fail"
    """An image that cannot be decoded ends the run, or is skipped and listed."""


class Augment(Settings):
    """Training-time augmentation."""

    crop: Literal["pad", "resized", "none"] = "pad"
    """`pad`: pad, then crop at random; `resized`: random area and aspect; or none."""
    pad: Annotated[Int, Field(ge=0)] = 4
    """Padding on each side before the random crop, in pixels."""
    flip: Literal[True, False, "alternating"] = True
    """Mirror half of the images, left to right; alternating: the others in the next epoch."""


class Train(Settings):
    """One training from scratch. `recipe` sets the defaults of what is not given."""

    recipe: Literal["fast", "paper"] = "fast"
    """`paper`: the paper's protocol; `fast`: short schedule, Nesterov, label smoothing."""
    steps: Annotated[Int, Field(ge=1)]
    """Optimiser steps, the same for every subset size (fast: 600, paper: 100,000)."""
    batch_size: Annotated[Int, Field(ge=2)] = 128
    """Images a step, over all workers."""
    optimizer: Literal["sgd", "muon"] = "sgd"
    """muon: the filters of a fastnet by Muon, its other weights by SGD, all at the same rate."""
    lr: Annotated[Float, Field(gt=0)] = 0.1
    """Peak learning rate: linear warm-up from 0, then cosine to 0."""
    warmup_steps: Annotated[Int, Field(ge=0)]
    """Steps of linear warm-up (fast: a fifth of all steps, paper: a fortieth)."""
    momentum: Annotated[Float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD."""
    nesterov: bool
    """Nesterov momentum (fast: yes, paper: no)."""
    weight_decay: Annotated[Float, Field(ge=0)]
    """L2 penalty (fast: 5e-4, paper: 1e-4); with muon the share lost a step, by shifts and head."""
    label_smoothing: Annotated[Float, Field(ge=0, lt=1)]
    """Label smoothing (fast: 0.1, paper: 0)."""
    augment: Augment = Augment()
    """Training-time augmentation."""
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"
    """Of products: float32 (no TF32), tf32, or bfloat16. auto: bfloat16 on GPUs, else float32."""
    compile: bool = False
    """Compile the network (torch.compile): costs half a minute a process, meant for GPUs."""
    deterministic: bool = False
    """The same bits every time on GPUs too, at some speed. On CPUs that is so anyhow."""
    test_mirrored: bool = False
    """Test by the mean of the logits of an image and its mirror image."""
    evaluate_every: Annotated[Int, Field(ge=0)] = 0
    """Epochs between test evaluations while training; 0: at the end only."""
    checkpoint_minutes: Annotated[Float, Field(gt=0)] = 5.0
    """Minutes between two checkpoints, of which a killed training goes on from the last."""
    checkpoint_steps: Annotated[Int, Field(ge=1)] | None = None
    """Steps after which there is a checkpoint at the latest; none: by minutes alone."""

    def decisive(self) -> dict[str, Any]:
        """Return the settings that what is trained depends on: all but those of checkpoints."""
        return self.model_dump(mode="json", exclude=set(OF_CHECKPOINTS))

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
            filled.setdefault("warmup_steps", 0)  # steps is about to be refused
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


class Linkage(Settings):
    """How each class is clustered (cosine distance)."""

    method: Literal["complete", "average", "single"] = "complete"
    """Distance of two clusters; the paper's is complete: the largest between their members."""
    backend: Literal["auto", "torch", "cuml", "scipy"] = "auto"
    """torch: rayred's engine, complete only; cuml: RAPIDS, single; scipy: any; auto: best."""

    @model_validator(mode="after")
    def _possible(self) -> Linkage:
        only = {"torch": "complete", "cuml": "single"}.get(self.backend, self.method)
        if only != self.method:
            raise PydanticCustomError(
                "backend",
                "backend {backend} has {only} linkage only, not {method}; choose auto or {other}",
                {
                    "backend": self.backend,
                    "only": only,
                    "method": self.method,
                    "other": "torch" if self.method == "complete" else "scipy",
                },
            )
        return self


class Search(Settings):
    """How settings are searched for, before the study: by accuracy on held-out training images."""

    method: Literal["auto", "grid", "random", "optuna"] = "auto"
    """grid: all combinations of lists; random; optuna: TPE. auto: grid if there are only lists."""
    samples: Annotated[Int, Field(ge=1)] = 20
    """Candidates of random and optuna; a grid has as many as it has."""
    validation: Annotated[Float, Field(gt=0, lt=1)] = 0.1
    """Share of every class's training images that candidates are judged by, not trained on."""
    asha: bool = False
    """Stop candidates early that fall behind. Trials of the verdict are never stopped early."""


class Sweep(Settings):
    """What is retrained. Any other key is a setting to be searched for, as `space` says."""

    fractions: Annotated[list[Fraction], Field(min_length=1)] = [1.0, 0.9, 0.8]
    """Shares of every class to keep, each in (0, 1]; 1 is the full set."""
    selectors: Annotated[list[Literal["semantic", "random"]], Field(min_length=1)] = [
        "semantic",
        "random",
    ]
    """How the kept images are chosen."""
    trials: Annotated[Int, Field(ge=1)] = 5
    """Trainings for every fraction and selector; the full set once a trial."""
    space: dict[str, Any] = {}
    """Lists or Ray Tune spaces of `model`, `train.KEY` or `linkage.KEY`, to be searched first."""
    search: Search = Search()
    """How they are searched for."""

    @model_validator(mode="before")
    @classmethod
    def _other_keys_are_searched(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        own = {key: value for key, value in given.items() if key in cls.model_fields}
        others = {key: value for key, value in given.items() if key not in cls.model_fields}
        if others and isinstance(own.get("space", {}), Mapping):
            own["space"] = {**own.get("space", {}), **dotted(others)}
        return own

    @model_validator(mode="after")
    def _method_has_its_spaces(self) -> Sweep:
        for key, values in self.space.items():
            if self.search.method == "grid" and not isinstance(values, list):
                raise PydanticCustomError(
                    "grid",
                    "search.method grid: {key} is no list; list its values, or choose random or"
                    " optuna",
                    {"key": key},
                )
            if (
                self.search.method == "optuna"
                and isinstance(values, dict)
                and "qloguniform" in values
            ):
                raise PydanticCustomError(
                    "qloguniform",
                    "search.method optuna: {key}: has no qloguniform; use loguniform, or random",
                    {"key": key},
                )
        return self

    @field_validator("fractions", "selectors")
    @classmethod
    def _distinct(cls, given: list[Any]) -> list[Any]:
        if len(set(given)) != len(given):
            raise PydanticCustomError("duplicate", "the same value is listed twice")
        return given


class Verdict(Settings):
    """When a subset counts as good as the full set."""

    margin: Annotated[Float, Field(gt=0)] = 0.25
    """Largest difference of mean test accuracy that does not matter, in percentage points."""


class Resources(Settings):
    """What trainings run on. `workers`, `device` and packs change the outcome, by rounding."""

    workers: Annotated[Int, Field(ge=1)] = 1
    """Workers that train one model together; the batch is split between them."""
    concurrent_trials: Annotated[int | Literal["auto"], BeforeValidator(_auto_or_count)] = "auto"
    """Trials at a time. auto: as many as the GPUs take, or one a core where there is no GPU."""
    trials_per_gpu: Annotated[Int, Field(ge=1)] = 1
    """Processes that share a GPU at a time, each with trials of one worker."""
    trials_per_pack: Annotated[int | Literal["auto"], BeforeValidator(_auto_or_count)] = 1
    """Trials of one subset size that a process trains as one batched network. auto: what fits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: GPUs if the cluster has any."""


class Tracking(Settings):
    """Where MLflow keeps the runs."""

    uri: str = "auto"
    """Tracking server or database. auto: MLFLOW_TRACKING_URI if set, else DIR/mlflow.db."""
    experiment: str = "rayred"
    """MLflow experiment that the runs appear under."""
    system_metrics: bool = False
    """Log every machine's CPU, memory, disk, network and GPUs; a database: only of this machine."""

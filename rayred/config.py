"""The experiment as typed values: every setting, its default and what is allowed.

>>> experiment = Experiment.model_validate({"dataset": "digits", "train": {"steps": 200}})
>>> experiment.train.steps, experiment.train.warmup_steps, experiment.sweep.trials
(200, 40, 5)
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rayred.errors import did_you_mean
from rayred.search_space import check_space, dotted, probes

DATASETS = ("digits", "cifar10", "cifar100", "fashion-mnist", "imagenet")
DATASET_SCHEMES = ("folder:", "parquet:")
MODELS = (
    *(f"resnet{depth}" for depth in (8, 20, 32, 44, 56, 110)),
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    "fastnet",
    "fastnet-small",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
)

MOST_COMBINATIONS = 100
"""Combinations of settings searched for that are tried before one of them is called impossible."""

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
    deterministic: bool = False
    """The same bits every time on GPUs too, at some speed. On CPUs that is so anyhow."""
    test_mirrored: bool = False
    """Test by the mean of the logits of an image and its mirror image."""
    evaluate_every: Annotated[Int, Field(ge=0)] = 0
    """Epochs between test evaluations while training; 0: at the end only."""
    checkpoint_steps: Annotated[Int, Field(ge=1)] = 1000
    """Steps between two checkpoints, of which a killed training goes on from the last."""

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


class Experiment(Settings):
    """A whole study: one experiment file with all defaults written out."""

    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    """Name of the study: its run folder and its parent run in MLflow."""
    dataset: str
    """digits, cifar10, cifar100, fashion-mnist, imagenet, folder:PATH or parquet:GLOB."""
    data: Data = Data()
    """How the images are found and read."""
    model: Literal[MODELS] = "resnet8"  # type: ignore[valid-type]
    """CIFAR ResNet (8 to 110; pre-activation), fastnet(-small), or a ResNet of torchvision."""
    seed: Annotated[Int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random: initialisation, batch order, augmentation, random subsets."""
    train: Train = Field(default_factory=lambda: Train.model_validate({}))
    """One training from scratch."""
    linkage: Linkage = Linkage()
    """How each class is clustered."""
    sweep: Sweep = Sweep()
    """What is retrained."""
    verdict: Verdict = Verdict()
    """When a subset counts as good as the full set."""
    resources: Resources = Resources()
    """What trainings run on."""
    tracking: Tracking = Tracking()
    """Where MLflow keeps the runs."""
    storage: str = "auto"
    """Checkpoints of Ray Train: a path or URL that all nodes share. auto: DIR/ray, one node."""

    @property
    def dataset_name(self) -> str:
        """The data set in a word: the study's name where it is one's own files."""
        return self.name if self.dataset.startswith(DATASET_SCHEMES) else self.dataset

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, given: str) -> str:
        return check_dataset_name(given)

    @model_validator(mode="before")
    @classmethod
    def _name_from_dataset(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and not given.get("name"):
            scheme, _, place = str(given.get("dataset", "")).partition(":")
            named = PurePath(place).name if scheme == "folder" else scheme
            given = {**given, "name": re.sub(r"[^A-Za-z0-9._-]+", "-", named) or "study"}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if self.train.batch_size % self.resources.workers:
            raise PydanticCustomError(
                "batch_split",
                "train.batch_size {batch} does not divide by resources.workers {workers}",
                {"batch": self.train.batch_size, "workers": self.resources.workers},
            )
        if self.train.optimizer == "muon" and not self.model.startswith("fastnet"):
            raise PydanticCustomError(
                "muon",
                "train.optimizer 'muon' is for fastnet and fastnet-small, not for model {model}",
                {"model": repr(self.model)},
            )
        if self.dataset.startswith("parquet:") != (self.data.test is not None):
            raise PydanticCustomError(
                "test_split",
                "data.test names the test split of a parquet: data set, and only of one"
                " (dataset: parquet:TRAIN_GLOB together with data.test: parquet:TEST_GLOB)",
            )
        if self.sweep.search.asha and self.resources.workers > 1:
            raise PydanticCustomError("asha", "sweep.search.asha needs resources.workers: 1")
        if self.data.load == "stream" and self.dataset in DATASETS and self.dataset != "imagenet":
            raise PydanticCustomError(
                "stream", "data.load: stream is for folder:PATH, parquet:GLOB and imagenet"
            )
        return self

    @model_validator(mode="after")
    def _searches_what_can_be(self) -> Experiment:
        space = self.sweep.space
        for key, values in space.items():
            _check_searched(key)
            check_space(key, values)
            if key.startswith("linkage.") and (
                min(self.sweep.fractions) == 1
                or "semantic" not in self.sweep.selectors
                or self.resources.workers > 1
            ):
                raise PydanticCustomError(
                    "linkage_searched",
                    "sweep.{key}: is searched for by trainings on the smallest semantic subset:"
                    " needs semantic in sweep.selectors, a fraction below 1 in sweep.fractions, and"
                    " resources.workers: 1",
                    {"key": key},
                )
        for key, values in space.items():
            others = {name: probes(space[name]) for name in space if name != key}
            for value in probes(values):
                self._try(key, value, others)
        return self

    def _try(self, key: str, value: Any, others: Mapping[str, list[Any]]) -> None:
        """Raise unless a value can be used with some values of the other keys searched for."""
        problems: list[str] = []
        combinations = itertools.product(*others.values())
        for combination in itertools.islice(combinations, MOST_COMBINATIONS):
            try:
                self.with_settings({**dict(zip(others, combination, strict=True)), key: value})
            except ValidationError as error:
                problems.append(error.errors()[0]["msg"])
            else:
                return
        raise PydanticCustomError(
            "space",
            "sweep.{key}: {value}: {message}",
            {"key": key, "value": repr(value), "message": problems[0]},
        )

    def linkages(self) -> list[Linkage]:
        """Return all linkages that the study may come to use."""
        searched = {
            key: probes(values)
            for key, values in self.sweep.space.items()
            if key.startswith("linkage.")
        }
        found = []
        for combination in itertools.product(*searched.values()):
            with contextlib.suppress(ValidationError):
                settings = dict(zip(searched, combination, strict=True))
                found.append(self.with_settings(settings).linkage)
        return found

    def with_settings(self, settings: Mapping[str, Any]) -> Experiment:
        """Return the experiment with some settings replaced, as in ``{"train.lr": 0.2}``.

        What a recipe had set, but for the number of steps, follows the replaced ones.
        """
        given = self.model_dump()
        recipe = RECIPES[self.train.recipe]
        warmup_steps = round(recipe["warmup_fraction"] * self.train.steps)
        defaults = {**recipe, "warmup_steps": warmup_steps}
        del defaults["steps"]
        train = given["train"].items()
        given["train"] = {k: v for k, v in train if k not in defaults or v != defaults[k]}
        given["sweep"]["space"] = {}
        for key, value in settings.items():
            *groups, last = key.split(".")
            group = given
            for name in groups:
                group = group[name]
            group[last] = value
        return Experiment.model_validate(given).model_copy(update={"sweep": self.sweep})


def _check_searched(key: str) -> None:
    """Raise unless it can be said by accuracy on held-out images which value is better."""
    # Those left out make no difference to what is trained, or have keys of their own.
    unsearched = ("augment", "checkpoint_steps", "evaluate_every")
    searched = [name for name in Train.model_fields if name not in unsearched]
    known = ["model", *(f"train.{name}" for name in searched)]
    known += [f"train.augment.{name}" for name in Augment.model_fields]
    known += [f"linkage.{name}" for name in Linkage.model_fields]
    if key in known:
        return
    groups = {name: field.annotation for name, field in Experiment.model_fields.items()}
    first, _, rest = key.partition(".")
    inner = getattr(groups.get(first), "model_fields", {})
    if (key in groups and not inner) or rest in inner:
        raise PydanticCustomError(
            "not_searched",
            "sweep.{key}: a search goes by accuracy on held-out training images, so that it takes"
            " model, train.* and linkage.* only; run a study for each value: --set {key}=VALUE"
            " --out DIR",
            {"key": key},
        )
    allowed = [*Sweep.model_fields, *known]
    raise PydanticCustomError(
        "unknown_key",
        "sweep.{key}: unknown key;{hint} Allowed: {allowed}",
        {"key": key, "hint": did_you_mean(key, allowed), "allowed": ", ".join(allowed)},
    )


def check_dataset_name(name: str) -> str:
    """Return `name` if it is a DATASET of the command line, else raise `ValueError`."""
    if name in DATASETS or any(
        name.startswith(scheme) and len(name) > len(scheme) for scheme in DATASET_SCHEMES
    ):
        return name
    allowed = (*DATASETS, "folder:PATH", "parquet:GLOB")
    raise PydanticCustomError(
        "unknown_dataset",
        "unknown data set;{hint} Allowed: {allowed}",
        {"hint": did_you_mean(name, allowed), "allowed": ", ".join(allowed)},
    )

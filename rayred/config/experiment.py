"""An experiment as typed values: all groups of settings, and the rules between them.

>>> experiment = Experiment.model_validate({"dataset": "digits", "train": {"steps": 200}})
>>> experiment.train.steps, experiment.train.warmup_steps, experiment.sweep.trials
(200, 40, 5)
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rayred.config.base import IMAGES, RECORD, RESULT, Int, Settings
from rayred.config.data import Data
from rayred.config.linkage import Linkage
from rayred.config.paths import absolute_dataset, absolute_path
from rayred.config.resources import Resources
from rayred.config.selection import Selection
from rayred.config.space import check_space, probes
from rayred.config.sweep import Sweep
from rayred.config.tracking import Tracking
from rayred.config.train import RECIPES, Train
from rayred.config.verdict import Verdict
from rayred.errors import did_you_mean

DATASETS = ("digits", "cifar10", "cifar100", "fashion-mnist", "imagenet")
DATASET_SCHEMES = ("folder:", "parquet:", "hf:")
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
"""Combinations tried with a value of a searched setting before the value is rejected."""
SEARCHED = ("model", "train.", "linkage.")
"""Prefixes of the keys that a search may choose values for."""


@dataclass(frozen=True)
class Candidate:
    """The settings of one training and its clustering, which a search may choose."""

    model: str
    train: Train
    linkage: Linkage


class Experiment(Settings):
    """A whole study: one experiment file with all defaults written out."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$"), RECORD] = ""
    """Name of the study, of its run folder and of its parent run in MLflow."""
    dataset: Annotated[str, IMAGES]
    """digits, cifar10, cifar100, fashion-mnist, imagenet, folder:PATH, parquet:GLOB or hf:NAME."""
    data: Data = Data()
    """How the images are found and read."""
    model: Annotated[Literal[MODELS], RESULT] = "resnet8"  # type: ignore[valid-type]
    """CIFAR ResNet (8, 20, 32, 44, 56, 110), fastnet(-small), or a ResNet of torchvision."""
    seed: Annotated[Int, Field(ge=0, lt=2**32), RESULT] = 0
    """Seed of all random choices: initialisation, batch order, augmentation, random subsets."""
    train: Train = Field(default_factory=lambda: Train.model_validate({}))
    """One training from scratch."""
    linkage: Linkage = Linkage()
    """How each class is clustered."""
    selection: Selection = Selection()
    """Reference models that subsets are chosen by."""
    sweep: Sweep = Sweep()
    """Fractions, selectors and trials, and the search before them."""
    verdict: Verdict = Verdict()
    """When a subset counts as good as the full set."""
    resources: Resources = Resources()
    """Workers, threads and devices of trainings."""
    tracking: Tracking = Tracking()
    """Where MLflow keeps the runs."""
    storage: Annotated[str, RECORD] = "auto"
    """Path or URL of checkpoints, reachable from all nodes. auto: ray in the run folder."""

    @property
    def dataset_name(self) -> str:
        """Name of the data set in text; for those of one's own the name of the study."""
        return self.name if self.dataset.startswith(DATASET_SCHEMES) else self.dataset

    def needs_whole_images(self) -> bool:
        """Return whether a training may cut boxes out of whole images."""
        may_change = {"train.recipe", "train.augment.crop"} & set(self.sweep.space)
        return self.train.augment.crop == "resized" or bool(may_change)

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, given: str) -> str:
        return check_dataset_name(given)

    @model_validator(mode="before")
    @classmethod
    def _name_from_dataset(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and not given.get("name"):
            scheme, _, place = str(given.get("dataset", "")).partition(":")
            named = PurePath(place).name if scheme in ("folder", "hf") else scheme
            given = {**given, "name": re.sub(r"[^A-Za-z0-9._-]+", "-", named) or "study"}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if self.train.batch_size < self.resources.workers:
            raise PydanticCustomError(
                "batch_split",
                "train.batch_size {batch} is less than resources.workers {workers}: every worker"
                " needs an image of each batch",
                {"batch": self.train.batch_size, "workers": self.resources.workers},
            )
        if self.train.optimizer == "muon" and not self.model.startswith("fastnet"):
            raise PydanticCustomError(
                "muon",
                "train.optimizer 'muon' is for fastnet and fastnet-small, not for model {model}",
                {"model": repr(self.model)},
            )
        if self.dataset.startswith("parquet:") and self.data.test is None:
            raise PydanticCustomError(
                "test_split",
                "a parquet: data set needs its test split: dataset: parquet:TRAIN_GLOB together"
                " with data.test: parquet:TEST_GLOB",
            )
        if self.dataset in DATASETS and self.data.test is not None:
            raise PydanticCustomError(
                "test_split", "data.test is for folder:, parquet: and hf: data sets"
            )
        if self.sweep.search.asha and self.resources.workers > 1:
            raise PydanticCustomError("asha", "sweep.search.asha needs resources.workers: 1")
        self._check_references()
        return self

    def _check_references(self) -> None:
        count = self.selection.references
        if self.selection.average and count == 1:
            raise PydanticCustomError(
                "average",
                "selection.average: the mean is over several references; set selection.references"
                " to 2 or more",
            )
        if count > 1 and min(self.sweep.fractions) == 1:
            raise PydanticCustomError(
                "references",
                "selection.references: {count} references are compared by the subsets that each"
                " chooses; sweep.fractions needs one below 1",
                {"count": count},
            )

    def deciding(self) -> dict[str, Any]:
        """Return the settings that stand in keys; `selection` only where it is not the default.

        So what was made before there could be several references keeps its keys.
        """
        found = super().deciding()
        if self.selection != Selection():
            return found
        return {key: value for key, value in found.items() if not key.startswith("selection.")}

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
                    "sweep.{key}: is searched for by trainings on the smallest semantic subset; it"
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
        """Raise unless a value is valid together with some values of the other searched keys."""
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
        """Return all linkages that the study may use: several if the search chooses one."""
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

    def given(self) -> dict[str, Any]:
        """Return the settings by group, without those that follow from others.

        These are settings of `train` that equal their recipe's default, but for `steps`: so another
        recipe or number of steps has its own.
        """
        given = self.model_dump()
        recipe = RECIPES[self.train.recipe]
        warmup_steps = round(recipe["warmup_fraction"] * self.train.steps)
        defaults = {**recipe, "warmup_steps": warmup_steps}
        del defaults["steps"]
        train = given["train"].items()
        given["train"] = {k: v for k, v in train if k not in defaults or v != defaults[k]}
        return given

    def with_settings(self, settings: Mapping[str, Any]) -> Experiment:
        """Return the experiment with some settings replaced, as in ``{"train.lr": 0.2}``.

        What follows from others, see `given`, follows from them anew.

        Raises
        ------
        pydantic.ValidationError
            The settings do not fit together.
        """
        given = self.given()
        given["sweep"]["space"] = {}
        for key, value in settings.items():
            *groups, last = key.split(".")
            group = given
            for name in groups:
                group = group[name]
            group[last] = value
        return Experiment.model_validate(given).model_copy(update={"sweep": self.sweep})

    def candidate(self, settings: Mapping[str, Any]) -> Candidate:
        """Return a candidate with some settings replaced; raises what `with_settings` raises."""
        chosen = self.with_settings(settings)
        return Candidate(chosen.model, chosen.train, chosen.linkage)

    def fixed_as(self, stored: Experiment) -> Experiment:
        """Return the experiment with each ``auto`` that a study fixes replaced by its stored value.

        Nothing is replaced if the experiment names another device than the stored one.
        """
        theirs, ours = stored.flat(), self.flat()
        if ours["resources.device"] not in ("auto", theirs["resources.device"]):
            return self
        return self.with_fixed(theirs)

    def with_absolute_paths(self) -> Experiment:
        """Return the experiment with paths that mean the same from every working folder."""
        test = _test_path(self.dataset, self.data.test)
        storage = self.storage if self.storage == "auto" else absolute_path(self.storage)
        tracking = self.tracking.model_copy(update={"uri": _tracking_path(self.tracking.uri)})
        subset = None if self.sweep.subset is None else absolute_path(self.sweep.subset)
        return self.model_copy(
            update={
                "dataset": absolute_dataset(self.dataset),
                "data": self.data.model_copy(update={"test": test}),
                "sweep": self.sweep.model_copy(update={"subset": subset}),
                "storage": storage,
                "tracking": tracking,
            }
        )

    def with_fixed(self, values: Mapping[str, Any]) -> Experiment:
        """Return the experiment with each ``auto`` that a study fixes replaced by `values[KEY]`."""
        marks, ours = self.marks(), self.flat()
        fixed = {k: values[k] for k in ours if marks[k].fixed and ours[k] == "auto"}
        groups: dict[str, dict[str, Any]] = {}
        for key, value in fixed.items():
            group, _, name = key.partition(".")
            groups.setdefault(group, {})[name] = value
        changed = {
            group: getattr(self, group).model_copy(update=update)
            for group, update in groups.items()
        }
        return self.model_copy(update=changed)

    def differences(self, stored: Experiment, *, images: bool = True) -> list[str]:
        """Return the settings that make this another study than a stored one, with both values.

        A setting marked `grows` counts as different only if it is smaller than the stored one.

        Parameters
        ----------
        stored
            The other experiment.
        images
            Whether settings that select the images count; where they select the same, they do not.
        """
        marks, ours, theirs = self.marks(), self.flat(), stored.flat()
        return [
            f"{key} ({theirs[key]!r} there, {ours[key]!r} now)"
            for key in sorted(ours)
            if marks[key].decides == "result"
            and (images or not marks[key].by_content)
            and (ours[key] < theirs[key] if marks[key].grows else ours[key] != theirs[key])
        ]


def _test_path(dataset: str, test: str | None) -> str | None:
    """Return the setting `data.test` with its path made absolute, if it is one."""
    if test is None or is_dataset_name(test):
        return None if test is None else absolute_dataset(test)
    return absolute_path(test) if dataset.startswith("parquet:") else test


def _tracking_path(uri: str) -> str:
    """Return the setting `tracking.uri` with the path of a SQLite database made absolute."""
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri or path.startswith("file:") else f"sqlite:///{absolute_path(path)}"


def _check_searched(key: str) -> None:
    """Raise unless the key is a setting that a search by held-out accuracy can choose."""
    marks = Experiment.marks()
    searchable = [
        name
        for name, mark in marks.items()
        if mark.decides == "result" and name.startswith(SEARCHED)
    ]
    if key in searchable:
        return
    if key in marks:
        raise PydanticCustomError(
            "not_searched",
            "sweep.{key}: a search goes by accuracy on held-out training images, so it accepts"
            " only settings of model, train and linkage that decide results; run a study for each"
            " value: --set {key}=VALUE --out DIR",
            {"key": key},
        )
    allowed = [*Sweep.model_fields, *searchable]
    raise PydanticCustomError(
        "unknown_key",
        "sweep.{key}: unknown key;{hint} Allowed: {allowed}",
        {"key": key, "hint": did_you_mean(key, allowed), "allowed": ", ".join(allowed)},
    )


def is_dataset_name(name: str) -> bool:
    """Return whether a name is a known data set, ``folder:``, ``parquet:`` or ``hf:`` something."""
    return name in DATASETS or any(
        name.startswith(scheme) and len(name) > len(scheme) for scheme in DATASET_SCHEMES
    )


def check_dataset_name(name: str) -> str:
    """Return `name` if it is a data set's.

    Raises
    ------
    ValueError
        It is none.
    """
    if is_dataset_name(name):
        return name
    allowed = (*DATASETS, "folder:PATH", "parquet:GLOB", "hf:NAME_OR_PATH")
    raise PydanticCustomError(
        "unknown_dataset",
        "unknown data set;{hint} Allowed: {allowed}",
        {"hint": did_you_mean(name, allowed), "allowed": ", ".join(allowed)},
    )

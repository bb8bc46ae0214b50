"""Settings of the sweep and of the search before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rayred.config.base import GROWS, IMAGES, RESULT, Float, Fraction, Int, Settings
from rayred.config.space import dotted

SELECTORS = (
    "semantic",
    "random",
    "k_center",
    "herding",
    "el2n",
    "forgetting",
    "ccs",
    "semdedup",
    "prototypes_easy",
    "prototypes_hard",
    "facility_location",
    "d2",
)
"""Names of the ways to choose images."""
GIVEN = "given"
"""Name of the way that keeps the rows of `sweep.subset`."""


class Search(Settings):
    """Search for settings before the study, by accuracy on held-out training images."""

    method: Annotated[Literal["auto", "grid", "random", "optuna"], RESULT] = "auto"
    """grid: all combinations of lists; random; optuna: TPE. auto: grid for lists, else random."""
    samples: Annotated[Int, Field(ge=1), RESULT] = 20
    """Candidates of random and optuna; grid ignores it."""
    validation: Annotated[Float, Field(gt=0, lt=1), RESULT] = 0.1
    """Share of every class's training images held out to measure the accuracy of candidates."""
    asha: Annotated[bool, RESULT] = False
    """Stop the worse candidates early (successive halving); trials are never stopped early."""


class Sweep(Settings):
    """The trainings of a study. Any other key is a setting to search for, and goes into `space`."""

    fractions: Annotated[list[Fraction], Field(min_length=1), RESULT] = Field([1.0, 0.9, 0.8])
    """Fractions of every class to keep, each in (0, 1]; 1 is the full set."""
    selectors: Annotated[
        list[Literal[(*SELECTORS, GIVEN)]],  # type: ignore[valid-type]
        Field(min_length=1),
        RESULT,
    ] = Field(["semantic", "random"])
    """Ways to choose images: semantic (the paper's), random, and those of docs/selectors.md."""
    subset: Annotated[str | None, IMAGES] = None
    """File of rows (.npy) that the selector `given` keeps; random keeps as many of each class."""
    trials: Annotated[Int, Field(ge=1), GROWS] = 5
    """Trainings for each fraction below 1 and selector, and for the full set."""
    space: Annotated[dict[str, Any], RESULT] = Field({})
    """Settings to search for: lists or Ray Tune spaces of `model`, `train.*`, `linkage.*` keys."""
    search: Search = Search()
    """How the settings in `space` are searched for."""

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

    @model_validator(mode="after")
    def _given_is_one_subset(self) -> Sweep:
        if (self.subset is not None) != (GIVEN in self.selectors):
            raise PydanticCustomError(
                "given", "sweep.subset goes with the selector 'given', and it needs sweep.subset"
            )
        smaller = sum(fraction < 1 for fraction in self.fractions)
        if self.subset is not None and (smaller != 1 or "semantic" in self.selectors):
            raise PydanticCustomError(
                "given",
                "sweep.subset is one subset: sweep.fractions needs its share beside 1, and no"
                " 'semantic' in sweep.selectors, which keeps a share of every class",
            )
        return self

    @field_validator("fractions", "selectors")
    @classmethod
    def _distinct(cls, given: list[Any]) -> list[Any]:
        if len(set(given)) != len(given):
            raise PydanticCustomError("duplicate", "the same value is listed twice")
        return given

"""Settings of the sweep and of the search before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rayred.config.base import GROWS, RESULT, Float, Fraction, Int, Settings
from rayred.config.space import dotted


class Search(Settings):
    """How settings are searched for, before the study: by accuracy on held-out training images."""

    method: Annotated[Literal["auto", "grid", "random", "optuna"], RESULT] = "auto"
    """grid: all combinations of lists; random; optuna: TPE. auto: grid if there are only lists."""
    samples: Annotated[Int, Field(ge=1), RESULT] = 20
    """Candidates of random and optuna; a grid has as many as it has."""
    validation: Annotated[Float, Field(gt=0, lt=1), RESULT] = 0.1
    """Share of every class's training images that candidates are judged by, not trained on."""
    asha: Annotated[bool, RESULT] = False
    """Stop candidates early that fall behind. Trials of the verdict are never stopped early."""


class Sweep(Settings):
    """What is retrained. Any other key is a setting to be searched for, as `space` says."""

    fractions: Annotated[list[Fraction], Field(min_length=1), RESULT] = Field([1.0, 0.9, 0.8])
    """Shares of every class to keep, each in (0, 1]; 1 is the full set."""
    selectors: Annotated[list[Literal["semantic", "random"]], Field(min_length=1), RESULT] = Field(
        ["semantic", "random"]
    )
    """How the kept images are chosen."""
    trials: Annotated[Int, Field(ge=1), GROWS] = 5
    """Trainings for every fraction and selector; the full set once a trial."""
    space: Annotated[dict[str, Any], RESULT] = Field({})
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

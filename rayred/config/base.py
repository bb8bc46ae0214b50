"""Base of all groups of settings: what a field decides, and the types of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Mark:
    """How a setting bears on what a study makes. Every field of the settings carries one.

    Keys, what makes two configs different, what ``--update`` makes again, and the params in MLflow
    all follow from the marks.
    """

    decides: Literal["result", "speed", "record"]
    """The result itself, only how fast it is made, or only where it is kept and under what name."""
    grows: bool = False
    """Whether a larger value adds results and changes none."""
    by_content: bool = False
    """Whether it selects the images, so that in keys the digest of the data set stands for it."""
    fixed: bool = False
    """Whether ``auto`` is replaced by a value when a study begins, and kept in its config."""


RESULT = Mark("result")
GROWS = Mark("result", grows=True)
IMAGES = Mark("result", by_content=True)
FIXED = Mark("result", fixed=True)
SPEED = Mark("speed")
RECORD = Mark("record")


class Settings(BaseModel):
    """Base of all settings: immutable, no undeclared key, and a `Mark` on every field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @classmethod
    def marks(cls, prefix: str = "") -> dict[str, Mark]:
        """Return the mark of every setting of this group and the groups in it, by dotted key."""
        found: dict[str, Mark] = {}
        for name, field in cls.model_fields.items():
            group = field.annotation
            if isinstance(group, type) and issubclass(group, Settings):
                found |= group.marks(f"{prefix}{name}.")
            else:
                (found[f"{prefix}{name}"],) = (m for m in field.metadata if isinstance(m, Mark))
        return found

    def flat(self) -> dict[str, Any]:
        """Return all settings by dotted key, as JSON-like values."""
        return dict(_leaves(self.model_dump(mode="json"), self.marks(), ""))

    def params(self) -> dict[str, Any]:
        """Return the settings that decide results, but for those that grow, by dotted key."""
        marks = self.marks()
        return {
            key: value
            for key, value in self.flat().items()
            if marks[key].decides == "result" and not marks[key].grows
        }

    def deciding(self) -> dict[str, Any]:
        """Return the `params` that stand in keys: all but those that select the images."""
        marks = self.marks()
        return {key: value for key, value in self.params().items() if not marks[key].by_content}


def _leaves(
    values: Mapping[str, Any], keys: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if f"{prefix}{name}" in keys:
            yield f"{prefix}{name}", value
        else:
            yield from _leaves(value, keys, f"{prefix}{name}.")


def _not_bool(value: object) -> object:
    if isinstance(value, bool | str):
        raise PydanticCustomError("number_type", "expected a number")
    return value


def _auto_or_count(value: object) -> object:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise PydanticCustomError("auto_or_count", "expected 'auto' or a whole number of at least 1")


def _auto_or_size(value: object) -> object:
    if value == "auto" or (type(value) in (int, float) and 0 < value < math.inf):  # type: ignore[operator]
        return value
    raise PydanticCustomError("auto_or_size", "expected 'auto' or a number above 0")


def _in_unit_interval(value: float) -> float:
    if not 0 < value <= 1:
        raise PydanticCustomError("fraction", "expected a fraction in (0, 1]")
    return value


Int = Annotated[int, BeforeValidator(_not_bool)]
Float = Annotated[float, BeforeValidator(_not_bool), Field(allow_inf_nan=False)]
Fraction = Annotated[Float, AfterValidator(_in_unit_interval)]
AutoOrCount = Annotated[int | Literal["auto"], BeforeValidator(_auto_or_count)]
AutoOrSize = Annotated[float | Literal["auto"], BeforeValidator(_auto_or_size)]

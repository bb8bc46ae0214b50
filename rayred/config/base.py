"""What all groups of settings share: the base class and the types of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


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

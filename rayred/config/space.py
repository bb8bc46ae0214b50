"""Search spaces in an experiment file: ``[0.1, 0.2]`` or ``{loguniform: [0.01, 0.5]}``.

>>> dotted({"train": {"lr": {"loguniform": [0.01, 0.5]}, "steps": [100, 200]}})
{'train.lr': {'loguniform': [0.01, 0.5]}, 'train.steps': [100, 200]}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

SPACES = {
    "uniform": 2,
    "quniform": 3,
    "loguniform": 2,
    "qloguniform": 3,
    "randint": 2,
    "qrandint": 3,
    "lograndint": 2,
    "choice": 1,
}
"""Ray Tune's functions of these names, with the number of their arguments."""


def dotted(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by dotted key; search spaces are left unchanged."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value and not _is_space(value):
            flat |= dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def check_space(key: str, values: Any) -> None:
    """Raise unless `values` is a list or a search space."""
    problem = ""
    if isinstance(values, list) and values:
        if len({repr(value) for value in values}) < len(values):
            problem = "the same value is listed twice"
    elif not _is_space(values):
        problem = "expected a list of values or a search space such as {loguniform: [0.01, 0.5]}"
    else:
        ((name, arguments),) = values.items()
        if name == "choice":
            problem = "" if isinstance(arguments, list) and arguments else "expected a list"
        elif not _is_range(name, arguments):
            whole = " whole" if "int" in name else ""
            positive = " above 0" if "log" in name else ""
            step = ", each a multiple of the step that follows them" if SPACES[name] == 3 else ""
            problem = f"expected two ascending{whole} numbers{positive}{step}"
    if problem:
        raise PydanticCustomError(
            "space",
            "sweep.{key}: {values}: {problem}. Allowed: lists, {allowed}",
            {"key": key, "values": str(values), "problem": problem, "allowed": ", ".join(SPACES)},
        )


def probes(values: Any) -> list[Any]:
    """Return values to check a list or search space by: all listed ones, or the ends of a range."""
    if isinstance(values, list):
        return values
    ((name, arguments),) = values.items()
    if name == "choice":
        return list(arguments)
    low, high, *step = arguments
    if step:
        return [low, low + step[0], high]
    if "int" in name:
        return [low, *([low + 1] if low + 1 < high else []), high - 1]
    # The third value is not whole, so that a setting that takes integers rejects the range.
    return [float(low), float(high), low + 0.381966 * (high - low)]


def _is_space(values: Any) -> bool:
    return isinstance(values, Mapping) and len(values) == 1 and next(iter(values)) in SPACES


def _is_range(name: str, arguments: Any) -> bool:
    if not isinstance(arguments, list) or len(arguments) != SPACES[name]:
        return False
    kinds = (int,) if "int" in name else (int, float)
    if not all(type(number) in kinds for number in arguments):
        return False
    low, high, *step = arguments
    stepwise = all(
        size > 0 and all(math.isclose(round(end / size) * size, end) for end in (low, high))
        for size in step
    )
    return low < high and (low > 0 or "log" not in name) and stepwise

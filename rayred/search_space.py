"""Search spaces as an experiment file writes them: ``[0.1, 0.2]`` or ``{loguniform: [0.01, 0.5]}``.

>>> dotted({"train": {"lr": {"loguniform": [0.01, 0.5]}, "steps": [100, 200]}})
{'train.lr': {'loguniform': [0.01, 0.5]}, 'train.steps': [100, 200]}
"""

from __future__ import annotations

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
    """Return nested keys as dotted ones, search spaces left whole."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value and not _is_space(value):
            flat |= dotted(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def check_space(key: str, values: Any) -> None:
    """Raise unless `values` is a list or a search space."""
    if isinstance(values, list) and values:
        return
    problem = ""
    if not _is_space(values):
        problem = "expected a list of values or a search space such as {loguniform: [0.01, 0.5]}"
    else:
        ((name, arguments),) = values.items()
        if name == "choice":
            problem = "" if isinstance(arguments, list) and arguments else "expected a list"
        elif not _is_range(name, arguments):
            step = " and a step" if SPACES[name] == 3 else ""
            positive = " above 0" if "log" in name else ""
            problem = f"expected two ascending numbers{positive}{step}"
    if problem:
        raise PydanticCustomError(
            "space",
            "{key}: {values}: {problem}. Allowed: lists, {allowed}",
            {"key": key, "values": str(values), "problem": problem, "allowed": ", ".join(SPACES)},
        )


def probes(values: Any) -> list[Any]:
    """Return values of a list or search space that stand for all of it: a range by its ends."""
    if isinstance(values, list):
        return values
    ((name, arguments),) = values.items()
    if name == "choice":
        return list(arguments)
    low, high = arguments[:2]
    if "int" in name:
        return [low, high - 1]
    # Neither an end nor a whole number: where whole numbers are wanted, it is refused.
    between = [] if name.startswith("q") else [low + 0.381966 * (high - low)]
    return [float(low), float(high), *between]


def _is_space(values: Any) -> bool:
    return isinstance(values, Mapping) and len(values) == 1 and next(iter(values)) in SPACES


def _is_range(name: str, arguments: Any) -> bool:
    if not isinstance(arguments, list) or len(arguments) != SPACES[name]:
        return False
    if not all(type(number) in (int, float) for number in arguments):
        return False
    low, high, *step = arguments
    return low < high and (low > 0 or "log" not in name) and all(size > 0 for size in step)

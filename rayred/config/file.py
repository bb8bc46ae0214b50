"""The experiment file: YAML and `--set` overrides in, a frozen `Experiment` out.

Invalid input raises `ConfigError`, which names the file, the key, the value and what is allowed.

>>> experiment = parse_experiment({"dataset": "digits", "train": {"steps": 200}}, "digits.yaml")
>>> experiment.train.steps
200
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rayred.config.base import Settings
from rayred.config.experiment import Experiment
from rayred.config.strict_yaml import dump_yaml, parse_yaml
from rayred.errors import ConfigError, did_you_mean


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file.

    Parameters
    ----------
    path
        YAML file.
    overrides
        ``key.path=value`` settings that replace the file's; values are YAML.

    Raises
    ------
    ConfigError
        The file cannot be read, is no YAML mapping, or holds an invalid setting.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: cannot read the experiment file: it is not UTF-8") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the experiment file: {error.strerror or error}"
        ) from error
    settings = parse_yaml(text, str(path))
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: expected a mapping of settings such as 'dataset: digits'")
    return override_experiment(settings, str(path), overrides)


def override_experiment(
    settings: dict[str, Any], source: str, overrides: Sequence[str]
) -> Experiment:
    """Return the experiment of settings, in which ``key.path=value`` overrides are set first.

    Raises `ConfigError`; `settings` is changed.
    """
    for override in overrides:
        _apply(settings, override)
    return parse_experiment(settings, source)


def parse_experiment(settings: Mapping[str, Any], source: str) -> Experiment:
    """Return the experiment of settings from `source`, a name for error messages.

    Raises `ConfigError` if a setting is missing, unknown or invalid.
    """
    try:
        return Experiment.model_validate(settings)
    except ValidationError as error:
        lines = [f"{source}: {_explain(detail)}" for detail in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def dump_experiment(experiment: Experiment) -> str:
    """Return the experiment as YAML with all defaults written out."""
    return dump_yaml(experiment.model_dump(mode="json"))


def _apply(settings: dict[str, Any], override: str) -> None:
    path, separator, text = override.partition("=")
    if not separator or not path:
        raise ConfigError(f"--set {override}: expected key.path=value, as in train.lr=0.05")
    *parents, last = path.split(".")
    for key in parents:
        inner = settings.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {key!r} is a value, not a group of settings")
        settings = inner
    settings[last] = parse_yaml(text, f"--set {override}")


def _explain(detail: ErrorDetails) -> str:
    """Return one pydantic error as ``KEY: VALUE: PROBLEM``."""
    where = list(detail["loc"])
    if detail["type"] == "missing":
        return f"{_dotted(where)}: missing, and it has no default"
    if detail["type"] == "extra_forbidden":
        allowed = sorted(_group_at(where[:-1]).model_fields)
        hint = did_you_mean(str(where[-1]), allowed)
        return f"{_dotted(where)}: unknown key;{hint} Allowed: {', '.join(allowed)}"
    given = "" if isinstance(detail["input"], dict) else f"{detail['input']!r}: "
    message = detail["msg"][0].lower() + detail["msg"][1:]
    if detail["type"] == "literal_error":
        expected = [word.strip("'") for word in _words(detail["ctx"]["expected"])]
        hint = did_you_mean(str(detail["input"]), expected)
        message = f"not known;{hint} Allowed: {', '.join(expected)}"
    key = _dotted(where)
    return f"{key}: {given}{message}" if key else f"{given}{message}"


def _words(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").split(", ")


def _dotted(where: Sequence[int | str]) -> str:
    text = ""
    for part in where:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _group_at(where: Sequence[int | str]) -> type[Settings]:
    group: type[Settings] = Experiment
    for part in where:
        annotation = group.model_fields[str(part)].annotation
        group = typing.cast("type[Settings]", annotation)
    return group

"""YAML that means one thing: what versions of YAML or readers take differently is refused.

Plain values are read as in YAML 1.2: ``yes``, ``no``, ``on``, ``off`` and dates are text, and
``1e-4`` is a number. Each key stands once and is text; there are no aliases, no tags and no second
document.

>>> parse_yaml("lr: 1e-4", "study.yaml")
{'lr': 0.0001}
>>> parse_yaml("lr: 1, lr: 2", "study.yaml")
Traceback (most recent call last):
    ...
rayred.errors.ConfigError: study.yaml: line 1: not valid YAML: mapping values are not allowed here
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from rayred.errors import ConfigError

_AMBIGUOUS = "!ambiguous"
_PLAIN = {
    "tag:yaml.org,2002:null": r"~|null|Null|NULL|",
    "tag:yaml.org,2002:bool": r"true|True|TRUE|false|False|FALSE",
    "tag:yaml.org,2002:int": r"[-+]?(0|[1-9]\d*|0x[\da-fA-F]+)",
    "tag:yaml.org,2002:float": r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    # Leading zeros, other bases, digits in groups, and base 60.
    _AMBIGUOUS: r"[-+]?(0[\d_]+|0o[0-7_]+|0b[01_]+|0x[\da-fA-F]*_[\da-fA-F_]*"
    r"|\d+_[\d_]*(\.[\d_]*)?([eE][-+]?\d+)?|\d+\.\d*_[\d_]*|\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?)",
}
"""Plain values that are not text: their tags, and how they are written."""


class _Loader(yaml.SafeLoader):
    """Reads values of `_PLAIN` and text, and refuses what has more than one meaning."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Refuse aliases, which can make a short text endless, and tags."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _problem("aliases are not read; write the value out", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _problem(f"tags are not read: {event.tag}", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse keys that are no text, or stand twice."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                shown = key.value if isinstance(key, ScalarNode) else f"a {key.id}"
                raise _problem(f"expected a key that is text, got {shown}", key.start_mark)
            line = key.start_mark.line + 1
            if key.value in lines:
                first = lines[key.value]
                problem = f"the key {key.value!r} stands twice, first in line {first}"
                raise _problem(problem, key.start_mark)
            lines[key.value] = line
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Puts text in quotes that `_Loader` or another reader would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        del data
        return True


def _refuse(loader: _Loader, node: ScalarNode) -> None:
    del loader
    raise _problem(
        f"{node.value} is another number, or text, in another version of YAML; write a plain"
        " decimal number, or quotes around text",
        node.start_mark,
    )


for _tag, _pattern in _PLAIN.items():
    for _of in (_Loader, _Dumper):
        _of.add_implicit_resolver(_tag, re.compile(f"({_pattern})$"), None)
_Loader.add_constructor(_AMBIGUOUS, _refuse)


def parse_yaml(text: str, source: str) -> Any:
    """Return the value of a YAML text.

    Parameters
    ----------
    text
        One document.
    source
        Name of the text for messages.

    Raises
    ------
    ConfigError
        It is not valid, or can be read in more than one way; the message names the line.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        said = ", ".join(part for part in (error.context, error.problem) if part)
        refused = "" if isinstance(error, _RefusedError) else "not valid YAML: "
        raise ConfigError(f"{source}: {line}{refused}{said}") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: not valid settings: nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # characters, or numbers of thousands of digits
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error


def dump_yaml(value: Any) -> str:
    """Return a value as YAML that `parse_yaml` and other readers read as the same."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


class _RefusedError(yaml.MarkedYAMLError):
    """Valid YAML that is not read."""


def _problem(problem: str, mark: Any) -> _RefusedError:
    return _RefusedError(problem=problem, problem_mark=mark)

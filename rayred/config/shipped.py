"""The experiments that are shipped with rayred: their files, by name.

>>> experiment_path("digits").name
'digits.yaml'
>>> list(shipped_experiments())[0]
'cifar10'
"""

from __future__ import annotations

import re
from pathlib import Path

from rayred.errors import ConfigError, did_you_mean

_PACKAGE = Path(__file__).parents[1]


def shipped_experiments() -> dict[str, Path]:
    """Return the file of every shipped experiment, by name, in alphabetical order."""
    in_a_wheel = _PACKAGE / "experiments"
    folder = in_a_wheel if in_a_wheel.is_dir() else _PACKAGE.parent / "experiments"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem)}


def describe_experiments() -> dict[str, str]:
    """Return the first sentence of the file of every shipped experiment, by name."""
    return {name: _first_sentence(path) for name, path in shipped_experiments().items()}


def experiment_path(name_or_path: str | Path) -> Path:
    """Return the file of an experiment.

    Parameters
    ----------
    name_or_path
        A file, or the name of a shipped experiment. It counts as a file if it has a path separator
        or a suffix, or if the current folder holds a file of that name.

    Raises
    ------
    ConfigError
        It is neither a file nor the name of a shipped experiment.
    """
    given, path = str(name_or_path), Path(name_or_path)
    if path.name != given or path.suffix or path.is_file():
        return path
    shipped = shipped_experiments()
    if given not in shipped:
        raise ConfigError(
            f"{given}: neither a file nor an experiment shipped with rayred;"
            f"{did_you_mean(given, shipped)} Shipped: {', '.join(shipped)}"
        )
    return shipped[given]


def _first_sentence(path: Path) -> str:
    """Return the first sentence of the comment at the top of a file."""
    comment = re.match(r"(?:#.*\n)+", path.read_text(encoding="utf-8"))
    words = re.sub(r"\n?# ?", " ", comment[0]) if comment else ""
    return re.split(r"(?<=\.)\s", words.strip(), maxsplit=1)[0]

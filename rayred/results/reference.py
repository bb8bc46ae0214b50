"""The result of the reference training, read from its file without torch and its weights."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from rayred.results.curve import Point


@dataclass(frozen=True)
class ReferenceResult:
    """The result of the training of a reference model."""

    test_accuracy: float
    """Share of test images classified correctly, 0 to 1."""
    train_seconds: float
    """Seconds spent on training steps."""
    curve: tuple[Point, ...]
    """Points in order of their steps; the last one is evaluated."""


def load_reference_result(path: Path) -> ReferenceResult:
    """Return the result of a training from the file that `rayred.training.save_trained` wrote.

    Such a file is a zip archive with a pickle of all that is no tensor. Nothing that the pickle
    names is imported or called: tensors are read as None.

    Raises
    ------
    ValueError, KeyError, TypeError
        The file is none of this version.
    """
    try:
        with ZipFile(path) as archive:
            (name,) = (one for one in archive.namelist() if one.endswith("/data.pkl"))
            with archive.open(name) as file:
                stored = _WithoutTensors(file).load()
    except (BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: no file of torch: {error}") from error
    return ReferenceResult(
        stored["test_accuracy"],
        stored["train_seconds"],
        tuple(Point(**point) for point in stored["curve"]),
    )


class _WithoutTensors(pickle.Unpickler):
    """Reads numbers, texts and containers, and None for everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what the pickle may call: a dictionary, or a function that returns None."""
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _nothing

    def persistent_load(self, pid: Any) -> None:  # noqa: ARG002 - the bytes of a tensor
        """Return None for the bytes of a tensor."""
        return


def _nothing(*_: Any) -> None:
    return None

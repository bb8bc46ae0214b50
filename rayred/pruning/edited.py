"""The images that a person chose to keep, in a file edited by hand or on the page of a report.

Legend: N images, n of them kept.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.array_files import read_rows
from rayred.data import Split
from rayred.data.listing import one_line
from rayred.errors import DataError

ROW_DIGITS = 18
"""Most digits of a row."""


def read_edited(path: Path, images: Split) -> NDArray[np.int64]:
    """Return which of the N images a file keeps, (n,) int64 ascending.

    Parameters
    ----------
    path
        ``.txt``: names of the images that are kept, one a line, as ``kept.txt``. ``.csv``: a table
        of those that are not, as ``discarded.csv``, of which the columns ``row`` and, if it is
        there, ``name`` are read. Other files: rows that are kept, as
        `rayred.clustering.array_files.read_rows` reads them.
    images
        The N images.

    Raises
    ------
    ConfigError, DataError
        The file cannot be read, names what is no image of these, or leaves a class without any.
    """
    kinds = {".txt": _kept_by_name, ".csv": _kept_of_table}
    kept = kinds.get(path.suffix.lower(), _kept_of_rows)(path, images)
    left = np.bincount(images.labels[kept], minlength=len(images.classes))
    if not left.all():
        raise DataError(
            f"{path}: keeps no image of class {images.classes[int(left.argmin())]!r}; expected at"
            " least one"
        )
    return kept


def _kept_by_name(path: Path, images: Split) -> NDArray[np.int64]:
    wanted = [line for line in _text(path).split("\n") if line]
    names = [one_line(name) for name in images.names]
    place = {name: image for image, name in enumerate(names)}
    unknown = next((name for name in wanted if name not in place), None)
    if unknown is not None:
        raise DataError(f"{path}: {unknown!r} is no image of the data set")
    doubled = next((name for name, n in Counter(wanted).items() if n > 1), None)
    if doubled is not None:
        raise DataError(f"{path}: {doubled!r} is there twice")
    counts = Counter(names)
    shared = next((name for name in wanted if counts[name] > 1), None)
    if shared is not None:
        raise DataError(
            f"{path}: {counts[shared]} images are named {shared!r}; give a discarded.csv, which has"
            " their rows"
        )
    return np.sort(np.array([place[name] for name in wanted], np.int64))


def _kept_of_table(path: Path, images: Split) -> NDArray[np.int64]:
    table = csv.DictReader(io.StringIO(_text(path), newline=""))
    try:
        columns, lines = table.fieldnames or (), list(table)
    except csv.Error as error:
        raise DataError(f"{path}: is no table that can be read: {error}") from error
    if "row" not in columns:
        raise DataError(f"{path}: has no column 'row'")
    place = {int(row): image for image, row in enumerate(images.rows)}
    gone = np.zeros(len(images), np.bool_)
    for number, line in enumerate(lines, 2):
        row = line["row"] or ""
        image = place.get(int(row)) if row.isdecimal() and len(row) <= ROW_DIGITS else None
        if image is None:
            raise DataError(
                f"{path}: line {number}: row {row[:ROW_DIGITS]!r} is no image of the data set"
            )
        name = line.get("name")
        if name is not None and name != one_line(images.names[image]):
            raise DataError(
                f"{path}: line {number}: row {line['row']} is {images.names[image]!r}, not"
                f" {name!r}: the table is of another data set"
            )
        gone[image] = True
    return np.flatnonzero(~gone)


def _kept_of_rows(path: Path, images: Split) -> NDArray[np.int64]:
    rows = read_rows(path)
    missing = np.setdiff1d(rows, images.rows)
    if len(missing):
        raise DataError(f"{path}: row {missing[0]} is no image of the data set")
    return images.places(rows)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error

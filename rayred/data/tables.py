"""Columns of images and labels, in Parquet files and in data sets of Hugging Face `datasets`.

Legend: N rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rayred.config import Data
from rayred.data.labels import is_text
from rayred.errors import DataError

IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "jpg", "jpeg", "png", "webp")
LABEL_NAMES = ("label", "labels", "class", "fine_label", "target", "category", "y", "cls")
"""Names of columns, of several that fit: the first that is there is taken."""


@dataclass(frozen=True)
class Columns:
    """The columns that hold images and labels."""

    image: str
    label: str | None
    """None where no labels are looked for."""
    names: tuple[str, ...] | None
    """Class names that the labels are indices into, if the file has any."""
    notices: tuple[str, ...] = ()
    score: str | None = None
    """Column of numbers that images are kept by, if one is named."""


def find_columns(schema: pa.Schema, where: str, data: Data) -> Columns:
    """Return the columns of images and labels of a table.

    Parameters
    ----------
    schema
        Of the table, with what Hugging Face notes in its metadata.
    where
        File or data set, for messages.
    data
        Names of the columns, or ``auto``.

    Raises
    ------
    DataError
        There is no such column, or none of a fitting type.
    """
    features = features_of(schema, where)
    score = _score_column(schema, where, data)
    images = [field.name for field in schema if is_image(field.type)]
    labels = [field.name for field in schema if field.name not in images and is_label(field.type)]
    named = [name for name in labels if class_names(features, name)]
    image, image_notice = _column("image", data.image_column, images, IMAGE_NAMES, schema, where)
    if data.unlabelled:
        return Columns(image, None, None, tuple(filter(None, [image_notice])), score)
    likely = [name for name in labels if name in LABEL_NAMES or name in named] or labels
    label, label_notice = _column(
        "label", data.label_column, labels, LABEL_NAMES, schema, where, named, likely
    )
    notices = tuple(filter(None, (image_notice, label_notice)))
    return Columns(image, label, class_names(features, label), notices, score)


def read_scores(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return the numbers in a column, (N,), NaN where there is none."""
    values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return values


def _score_column(schema: pa.Schema, where: str, data: Data) -> str | None:
    name = data.score_column
    if name is None:
        return None
    if name not in schema.names:
        raise DataError(
            f"{where}: has no column {name!r} (data.score_column); it has {', '.join(schema.names)}"
        )
    kind = schema.field(name).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise DataError(f"{where}: column {name!r} is {kind}; expected numbers (data.score_column)")
    return name


def is_image(kind: pa.DataType) -> bool:
    """Return whether a column can hold encoded images: bytes, or a struct of bytes and path."""
    if pa.types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        if "bytes" not in names:
            return names == ["path"]
        held = kind.field("bytes").type
        return _is_bytes(held) or bool(pa.types.is_null(held))  # null: paths alone
    return _is_bytes(kind)


def is_label(kind: pa.DataType) -> bool:
    """Return whether a column can hold labels: integers, text, categories or truth values."""
    if pa.types.is_dictionary(kind):
        return is_label(kind.value_type)
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind) or is_text(kind))


def features_of(schema: pa.Schema, where: str) -> Mapping[str, Any]:
    """Return what Hugging Face notes of the columns in a schema's metadata.

    Raises
    ------
    DataError
        The note cannot be read.
    """
    noted = (schema.metadata or {}).get(b"huggingface")
    if noted is None:
        return {}
    try:
        features = json.loads(noted)["info"]["features"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{where}: its metadata 'huggingface' cannot be read: {error}") from error
    return features if isinstance(features, Mapping) else {}


def class_names(features: Mapping[str, Any], column: str) -> tuple[str, ...] | None:
    """Return the class names noted of a column; None if there are none."""
    noted = features.get(column)
    names = noted.get("names") if isinstance(noted, Mapping) else None
    return tuple(map(str, names)) if names else None


def _column(
    what: str,
    wanted: str,
    fitting: Sequence[str],
    order: Sequence[str],
    schema: pa.Schema,
    where: str,
    better: Sequence[str] = (),
    likely: Sequence[str] | None = None,
) -> tuple[str, str | None]:
    """Return the column, and a notice where others would fit as well."""
    setting = f"data.{what}_column"
    if wanted != "auto":
        if wanted not in schema.names:
            raise DataError(
                f"{where}: has no column {wanted!r} ({setting}); it has {', '.join(schema.names)}"
            )
        if wanted not in fitting:
            kind = schema.field(wanted).type
            raise DataError(f"{where}: column {wanted!r} is {kind}; expected {_EXPECTED[what]}")
        return wanted, None
    if not fitting:
        there = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
        raise DataError(
            f"{where}: has no column of {what}s; expected {_EXPECTED[what]}, found {there}"
        )
    likely = fitting if likely is None else likely

    def rank(name: str) -> tuple[int, int]:
        place = order.index(name) if name in order else len(order)
        return place, name not in better

    chosen = min(likely, key=rank)
    others = [name for name in likely if name != chosen]
    if not others:
        return chosen, None
    return chosen, (
        f"the {what}s are column {chosen!r}; {', '.join(map(repr, others))} would fit as well"
        f" ({setting})"
    )


_EXPECTED = {
    "image": "a struct of bytes and path, or bytes",
    "label": "integers, text, categories or true and false",
}


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    )

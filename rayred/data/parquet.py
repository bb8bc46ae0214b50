"""Data sets in Parquet files with the Hugging Face image layout.

Column `image` is a struct {bytes, path}, column `label` an integer; class names stand in the
schema metadata under the key `huggingface`.
"""

from __future__ import annotations

import glob
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayred.config import Data
from rayred.data.dataset import Split
from rayred.data.decode import decode_all
from rayred.errors import DataError


def parquet_split(pattern: str, data: Data) -> Split:
    """Read and decode every row of the files that match the glob, in order of file name."""
    paths = [Path(path) for path in sorted(glob.glob(str(Path(pattern).expanduser())))]  # noqa: PTH207
    if not paths:
        raise DataError(f"parquet:{pattern}: no file matches")
    tables = [_read(path) for path in paths]
    names: list[str] = []
    encoded: list[bytes] = []
    for path, table in zip(paths, tables, strict=True):
        for row, image in enumerate(table.column("image").to_pylist()):
            name = (image or {}).get("path") or f"{path.name} row {row}"
            names.append(name)
            encoded.append((image or {}).get("bytes") or b"")
    labels = np.concatenate([table.column("label").to_numpy() for table in tables])
    classes = _class_names(tables[0], paths[0]) or _numbered(labels)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise DataError(
            f"parquet:{pattern}: labels run from {labels.min()} to {labels.max()}, but there are"
            f" {len(classes)} class names"
        )
    images, kept, skipped = decode_all(
        encoded,
        names,
        image_size=data.image_size,
        center_crop=data.center_crop,
        undecodable=data.undecodable,
    )
    return Split(
        images, labels[kept].astype(np.int64), [names[i] for i in kept], classes, skipped=skipped
    )


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path, columns=["image", "label"])
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(f"{path}: not a Parquet file with image and label: {error}") from error
    missing = {"image", "label"} - set(table.column_names)
    if missing:
        raise DataError(f"{path}: has no column {sorted(missing)[0]!r}; expected image and label")
    image = table.schema.field("image").type
    if not pa.types.is_struct(image) or image.get_field_index("bytes") < 0:
        raise DataError(f"{path}: column 'image' is {image}; expected a struct with 'bytes'")
    label = table.schema.field("label").type
    if not pa.types.is_integer(label) or table.column("label").null_count:
        raise DataError(f"{path}: column 'label' is {label}; expected integers without gaps")
    return table


def _class_names(table: pa.Table, path: Path) -> tuple[str, ...] | None:
    metadata = (table.schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    try:
        names = json.loads(metadata)["info"]["features"]["label"].get("names")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: schema metadata 'huggingface' cannot be read: {error}") from error
    return tuple(map(str, names)) if names else None


def _numbered(labels: np.ndarray) -> tuple[str, ...]:
    return tuple(str(label) for label in range(int(labels.max()) + 1)) if len(labels) else ()

"""Data sets in Parquet files with the Hugging Face image layout.

Column `image` is a struct {bytes, path}, column `label` an integer; the schema metadata may hold
class names under the key `huggingface`.
"""

from __future__ import annotations

import glob
import json
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import fs

from rayred.config import Data
from rayred.data.dataset import Split
from rayred.data.decode import decode_all, image_files, streams
from rayred.data.packed import pack
from rayred.errors import DataError


def parquet_split(pattern: str, data: Data) -> Split:
    """Return the images of all matching files as a split, in order of path.

    Parameters
    ----------
    pattern
        A glob of local files, or a URI that Arrow can open, with wildcards in the file name only,
        such as ``s3://BUCKET/FOLDER/train-*.parquet``.
    data
        How images are read: decoded into memory or streamed, their size, and `root`.

    Raises
    ------
    DataError
        No file matches, or a file, its columns or an image cannot be read.
    """
    uri, files = _matching(pattern)
    if not files:
        raise DataError(f"parquet:{pattern}: no file matches")
    system, _ = fs.FileSystem.from_uri(uri)
    schemas = [_schema(system, file.path) for file in files]
    tables = [_read(system, file.path, ["image.path", "label"]) for file in files]
    names = [
        name or f"{Path(file.path).name} row {row}"
        for file, table in zip(files, tables, strict=True)
        for row, name in enumerate(_names(table))
    ]
    labels = np.concatenate(
        [_labels(table, f.path) for f, table in zip(files, tables, strict=True)]
    )
    classes = _class_names(schemas[0], files[0].path) or _numbered(labels)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise DataError(
            f"parquet:{pattern}: labels run from {labels.min()} to {labels.max()}, but there are"
            f" {len(classes)} class names"
        )
    if streams(len(labels), data):
        packed = pack(uri, files, Path(data.root) / "unpacked", list(map(len, tables)))
        images, broken = image_files(packed, data)
        intact = [position for position in range(len(labels)) if position not in broken]
        skipped = tuple(f"{names[position]}: {broken[position]}" for position in broken)
        return Split(images, labels[intact], [names[i] for i in intact], classes, skipped=skipped)
    encoded = [
        (image or {}).get("bytes") or b""
        for file in files
        for image in _read(system, file.path, ["image.bytes"]).column("image").to_pylist()
    ]
    decoded, kept, left_out = decode_all(
        encoded,
        names,
        image_size=data.image_size,
        center_crop=data.center_crop,
        undecodable=data.undecodable,
    )
    return Split(decoded, labels[kept], [names[i] for i in kept], classes, skipped=left_out)


def _matching(pattern: str) -> tuple[str, list[fs.FileInfo]]:
    """Return a URI of the file system, and the files that match, by ascending path."""
    if "://" not in pattern:
        paths = sorted(glob.glob(str(Path(pattern).expanduser().absolute())))  # noqa: PTH207
        return "file:///", fs.LocalFileSystem().get_file_info(paths)
    address, _, options = pattern.partition("?")
    folder, _, wanted = address.rpartition("/")
    uri = f"{folder}?{options}" if options else folder
    try:
        system, root = fs.FileSystem.from_uri(uri)
        found = system.get_file_info(fs.FileSelector(root))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"parquet:{pattern}: {error}") from error
    files = [file for file in found if file.is_file and fnmatch(file.base_name, wanted)]
    return uri, sorted(files, key=lambda file: file.path)


def _schema(system: fs.FileSystem, path: str) -> pa.Schema:
    try:
        schema = pq.read_schema(path, filesystem=system)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not a Parquet file with image and label: {error}") from error
    missing = {"image", "label"} - set(schema.names)
    if missing:
        raise DataError(f"{path}: has no column {sorted(missing)[0]!r}; expected image and label")
    image = schema.field("image").type
    if not pa.types.is_struct(image) or image.get_field_index("bytes") < 0:
        raise DataError(f"{path}: column 'image' is {image}; expected a struct with 'bytes'")
    if not pa.types.is_integer(schema.field("label").type):
        label = schema.field("label").type
        raise DataError(f"{path}: column 'label' is {label}; expected integers")
    return schema


def _read(system: fs.FileSystem, path: str, columns: list[str]) -> pa.Table:
    try:
        with system.open_input_file(path) as stream:
            return pq.ParquetFile(stream).read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _names(table: pa.Table) -> list[str | None]:
    if "image" not in table.column_names:
        return [None] * len(table)
    return [(image or {}).get("path") for image in table.column("image").to_pylist()]


def _labels(table: pa.Table, path: str) -> NDArray[np.int64]:
    labels = table.column("label")
    if labels.null_count:
        raise DataError(f"{path}: column 'label' has missing values; expected none")
    return np.asarray(labels.to_numpy(), dtype=np.int64)


def _class_names(schema: pa.Schema, path: str) -> tuple[str, ...] | None:
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    try:
        names = json.loads(metadata)["info"]["features"]["label"].get("names")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: schema metadata 'huggingface' cannot be read: {error}") from error
    return tuple(map(str, names)) if names else None


def _numbered(labels: np.ndarray) -> tuple[str, ...]:
    return tuple(str(label) for label in range(int(labels.max()) + 1)) if len(labels) else ()

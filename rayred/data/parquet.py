"""Data sets in Parquet files, here or in a bucket.

Parquet rows can be read only by whole row groups. So every node copies the encoded images once into
Arrow files of its own, which are mapped into memory.
"""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock
from numpy.typing import NDArray
from pyarrow import fs

from rayred.config import Data
from rayred.data.cache import home_expanded, make_room, quiet_datasets
from rayred.data.images import StoredImages, digest_of, images_of
from rayred.data.labels import Labels, join_labels, one_class, read_labels
from rayred.data.listing import Listing
from rayred.data.tables import Columns, class_names, find_columns, read_scores
from rayred.errors import DataError
from rayred.files import read_json, replacing, write_json

if TYPE_CHECKING:
    import datasets

BATCH_BYTES = 2**25
"""Size of the rows that are copied at a time."""
BATCH_ROWS = 1024
"""Rows of which some are written at a time."""
COMPLETE = "complete.json"
"""File in a copy that lists its Arrow files, and whose time says when it was last used."""


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file with a column of images."""

    uri: str
    """Any URI on the file system of the file; it selects the file system."""
    path: str
    """Path on that file system."""
    size: int
    time: int
    """When it was last changed, in nanoseconds."""
    column: str
    rows: int

    def digest(self) -> str:
        """Return a digest of path, column, size and time."""
        return digest_of(self.uri, self.path, self.column, str(self.size), str(self.time))


@dataclass(frozen=True)
class ParquetRows:
    """The images of Parquet files, as a `Source`."""

    files: tuple[ParquetFile, ...] = field(repr=False)
    root: str
    """`data.root`; a home folder in it is that of each node. The copies are in its `parquet`."""
    most_gb: float | None
    """Most that all copies there take up; None: half of what the disk has for them."""

    def stamp(self) -> str:
        """Return a digest of the paths, sizes and times of the files."""
        return digest_of(*(file.digest() for file in self.files))

    def open(self) -> datasets.Dataset:
        """Return the images, copied first where this node has no copy yet."""
        from datasets import Dataset, concatenate_datasets

        copies = []
        for file in self.files:
            parts = self._copy(file) if file.rows else []
            copies += [images_of(Dataset.from_file(str(part)), file.column) for part in parts]
        return concatenate_datasets(copies)

    def part(self, rows: NDArray[np.int64]) -> tuple[ParquetRows, NDArray[np.int64]]:
        """Return the files that hold some rows, (n,) int64, and the rows in them: (n,) int64."""
        counts = np.array([file.rows for file in self.files], np.int64)
        ends = counts.cumsum()
        held, place = np.unique(np.searchsorted(ends, rows, side="right"), return_inverse=True)
        firsts = counts[held].cumsum() - counts[held]
        moved = rows - (ends - counts)[held][place] + firsts[place]
        return replace(self, files=tuple(self.files[file] for file in held.tolist())), moved

    def write(self, rows: NDArray[np.int64], folder: Path) -> None:
        """Write some rows, (n,) int64 ascending, into files of the same names below a folder.

        Columns, their types and compression are those of the files. Of files that hold none of the
        rows there is none.
        """
        top = os.path.commonpath([Path(file.path).parent for file in self.files])
        first = 0
        for file in self.files:
            chosen = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + file.rows)]
            if len(chosen):
                target = folder / os.path.relpath(file.path, top)
                target.parent.mkdir(parents=True, exist_ok=True)
                _write_rows(file, chosen - first, target)
            first += file.rows

    def _copy(self, file: ParquetFile) -> list[Path]:
        """Return the Arrow files with the images of a Parquet file."""
        cache = home_expanded(self.root) / "parquet"
        place = cache / file.digest()
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{place.name}.lock"):
            if not (place / COMPLETE).exists():
                make_room(cache, COMPLETE, file.size, self.most_gb)
                with replacing(place) as temporary:
                    temporary.mkdir()
                    parts = _copy_images(file, temporary)
                    write_json(temporary / COMPLETE, {"parts": parts})
            (place / COMPLETE).touch()
        return [place / part for part in read_json(place / COMPLETE)["parts"]]


def _copy_images(file: ParquetFile, place: Path) -> list[str]:
    """Copy the images of a file into Arrow files below a folder, and return their names there."""
    from datasets import Dataset, Features, Image
    from datasets.exceptions import DatasetsError

    system, _ = fs.FileSystem.from_uri(file.uri)
    path = Path(file.path)
    try:
        if not isinstance(system, fs.LocalFileSystem):
            path = place / "fetched.parquet"
            with system.open_input_stream(file.path) as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        with quiet_datasets():
            copied = Dataset.from_parquet(
                glob.escape(str(path)),
                features=Features({file.column: Image(decode=False)}),
                columns=[file.column],
                cache_dir=str(place),
                batch_size=max(1, BATCH_BYTES * file.rows // max(1, file.size)),
            )
    except (OSError, ValueError, pa.ArrowException, DatasetsError) as error:
        raise DataError(f"{file.path}: cannot be read: {error.__cause__ or error}") from error
    if path.name == "fetched.parquet":
        path.unlink()
    return [str(Path(one["filename"]).relative_to(place)) for one in copied.cache_files]


def _write_rows(file: ParquetFile, rows: NDArray[np.int64], target: Path) -> None:
    """Write some rows of a file, (n,) int64 ascending, group by group into another one."""
    system, _ = fs.FileSystem.from_uri(file.uri)
    try:
        with system.open_input_file(file.path) as stream:
            source = pq.ParquetFile(stream)
            codecs = _codecs(source.metadata.row_group(0))
            with pq.ParquetWriter(target, source.schema_arrow, compression=codecs) as writer:
                first = 0
                for group in range(source.num_row_groups):
                    runs: list[pa.RecordBatch] = []
                    for batch in source.iter_batches(BATCH_ROWS, row_groups=[group]):
                        end = first + batch.num_rows
                        chosen = rows[np.searchsorted(rows, first) : np.searchsorted(rows, end)]
                        runs += _runs(batch, chosen - first)
                        first = end
                    if runs:
                        writer.write_table(pa.Table.from_batches(runs, source.schema_arrow))
    except (FileNotFoundError, pa.ArrowException) as error:
        raise DataError(f"{file.path}: cannot be read: {error}") from error


def _codecs(group: pq.RowGroupMetaData) -> dict[str, str]:
    """Return the compression of each column, as `pyarrow.parquet.ParquetWriter` takes it."""
    columns = [group.column(number) for number in range(group.num_columns)]
    return {
        one.path_in_schema: "NONE" if one.compression == "UNCOMPRESSED" else one.compression
        for one in columns
    }


def _runs(batch: pa.RecordBatch, rows: NDArray[np.int64]) -> list[pa.RecordBatch]:
    """Return some rows of a batch, (n,) int64 ascending, as slices, which all types have."""
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    return [batch.slice(run[0], len(run)) for run in runs if len(run)]


def list_parquet(pattern: str, data: Data) -> Listing:
    """List the rows of all matching files, in order of path.

    Parameters
    ----------
    pattern
        A file, a folder, or a glob of local files, or a URI that Arrow can open, with wildcards in
        the file name only, such as ``s3://BUCKET/FOLDER/train-*.parquet``.
    data
        Columns, and the folder of the copies.

    Raises
    ------
    DataError
        No file matches, or a file or its columns cannot be read.
    """
    uri, files = _matching(pattern)
    if not files:
        raise DataError(f"parquet:{pattern}: no file matches")
    return list_files(uri, files, data)


def list_files(
    uri: str,
    files: Sequence[fs.FileInfo],
    data: Data,
    features: Mapping[str, Any] | None = None,
) -> Listing:
    """List the rows of Parquet files on the file system of a URI, in the order of the files.

    `features` describe the columns of all files, as Hugging Face notes them, where a file does not
    itself. Raises `DataError` if a file or its columns cannot be read.
    """
    system, _ = fs.FileSystem.from_uri(uri)
    sources: list[ParquetFile] = []
    labels: list[Labels] = []
    names: list[str] = []
    notices: dict[str, None] = {}
    unnamed: dict[bool, str] = {}
    scores: list[NDArray[np.float64]] = []
    for file in files:
        columns, table = _read(system, file.path, data)
        if columns.label is None:
            labels.append(one_class(table.num_rows))
        else:
            given = columns.names or class_names(features or {}, columns.label)
            column = table.column(columns.label)
            if pa.types.is_integer(column.type):
                unnamed.setdefault(given is None, file.path)
            labels.append(read_labels(column, given, f"{file.path}: column {columns.label!r}"))
        if columns.score is not None:
            scores.append(read_scores(table.column(columns.score)))
        names += _names(table, columns.image, Path(file.path).name)
        notices |= dict.fromkeys(columns.notices)
        rows = table.num_rows
        sources.append(
            ParquetFile(uri, file.path, file.size, file.mtime_ns or 0, columns.image, rows)
        )
    if len(unnamed) > 1:
        raise DataError(
            f"{unnamed[True]}: has labels without class names, {unnamed[False]} has class names;"
            " expected them in all files or in none"
        )
    joined, classes = join_labels(labels)
    most = None if data.cache_gb == "auto" else data.cache_gb
    root = data.root if data.root.startswith("~") else str(Path(data.root).absolute())
    source = ParquetRows(tuple(sources), root, most)
    images = StoredImages(source, np.arange(len(joined)))
    return Listing(
        images,
        joined,
        classes,
        names,
        notices=tuple(notices),
        scores=np.concatenate(scores) if scores else None,
    )


def _matching(pattern: str) -> tuple[str, list[fs.FileInfo]]:
    """Return a URI of the file system, and the files that match, by ascending path."""
    if "://" not in pattern:
        given = home_expanded(pattern)
        if given.is_dir():
            found = [str(path) for path in given.rglob("*.parquet")]
        elif given.exists():
            found = [str(given)]
        else:
            found = glob.glob(str(given), recursive=True)  # noqa: PTH207
        return "file:///", fs.LocalFileSystem().get_file_info(sorted(found))
    address, _, options = pattern.partition("?")
    folder, _, wanted = address.rpartition("/")
    uri = f"{folder}?{options}" if options else folder
    try:
        system, root = fs.FileSystem.from_uri(uri)
        listed = system.get_file_info(fs.FileSelector(root))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"parquet:{pattern}: {error}") from error
    files = [file for file in listed if file.is_file and fnmatch(file.base_name, wanted)]
    return uri, sorted(files, key=lambda file: file.path)


def _read(system: fs.FileSystem, path: str, data: Data) -> tuple[Columns, pa.Table]:
    """Return the columns of a file, and a table of its labels and paths of images."""
    try:
        with system.open_input_file(path) as stream:
            file = pq.ParquetFile(stream)
            columns = find_columns(file.schema_arrow, path, data)
            kind = file.schema_arrow.field(columns.image).type
            has_paths = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
            wanted = [] if columns.label is None else [columns.label]
            wanted += [] if columns.score is None else [columns.score]
            wanted += [f"{columns.image}.path"] if has_paths else []
            return columns, file.read(columns=list(dict.fromkeys(wanted)))
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error


def _names(table: pa.Table, column: str, file: str) -> list[str]:
    """Return a name of every image: its path, or the file and row."""
    paths: list[object] = [None] * table.num_rows
    if column in table.column_names:
        paths = pc.struct_field(table.column(column), "path").to_pylist()
    return [str(path or f"{file} row {row}") for row, path in enumerate(paths)]

"""Streamed images of Parquet files, which do not fit into memory.

Parquet rows can be read only by whole row groups. So each node copies the encoded images once into
an Arrow file of its own, which is mapped into memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from numpy.typing import NDArray
from pyarrow import fs

from rayred.errors import DataError
from rayred.files import replacing

ROWS_AT_A_TIME = 1_000


@dataclass(frozen=True)
class PackedImages:
    """Encoded images by row; the first process of a node that reads one unpacks them all."""

    uri: str
    """Any URI on the file system of the files; it selects the file system."""
    paths: tuple[str, ...]
    """Paths of the Parquet files on that file system."""
    digest: str
    """Digest of the paths, sizes and modification times of the files."""
    folder: str
    """Folder of the unpacked images, on every node."""
    counts: tuple[int, ...]
    """Number of rows of each file."""
    rows: NDArray[np.int64] = field(repr=False)
    """(N,) int64, the row of each image; rows are counted over all files in order."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> bytes:
        """Return an encoded image; empty if the row has none."""
        return self._images[int(self.rows[index])].as_py() or b""

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_images"}

    def name(self, index: int) -> str:
        """Return file and row of the image."""
        ends = np.cumsum(self.counts)
        file = int(np.searchsorted(ends, self.rows[index], side="right"))
        return f"{self.paths[file]} row {self.rows[index] - ends[file] + self.counts[file]}"

    def take(self, rows: NDArray[np.int64]) -> PackedImages:
        """Return the images at `rows`, (n,) int64."""
        return replace(self, rows=self.rows[rows])

    def fingerprint(self) -> str:
        """Return a digest of `digest` and the rows."""
        return hashlib.sha256(self.digest.encode() + self.rows.tobytes()).hexdigest()

    @cached_property
    def _images(self) -> pa.ChunkedArray:
        folder = Path(self.folder).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.digest}.arrow"
        # One process of each node unpacks; the others wait for it.
        with FileLock(folder / f".{self.digest}.lock"):
            if not path.exists():
                with replacing(path) as temporary:
                    self._unpack(temporary)
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all().column("bytes")

    def _unpack(self, path: Path) -> None:
        files, _ = fs.FileSystem.from_uri(self.uri)
        schema = pa.schema([("bytes", pa.large_binary())])
        with pa.ipc.new_file(str(path), schema) as unpacked:
            for source in self.paths:
                try:
                    with files.open_input_file(source) as stream:
                        parts = pq.ParquetFile(stream).iter_batches(
                            ROWS_AT_A_TIME, columns=["image.bytes"]
                        )
                        for part in parts:
                            images = part.column("image").field("bytes").cast(pa.large_binary())
                            unpacked.write_batch(pa.record_batch([images], schema=schema))
                except (OSError, pa.ArrowException) as error:
                    raise DataError(f"{source}: cannot be read: {error}") from error


def pack(
    uri: str, files: Sequence[fs.FileInfo], folder: Path, counts: Sequence[int]
) -> PackedImages:
    """Return the images of Parquet files as one sequence; nothing is read yet.

    Parameters
    ----------
    uri
        Any URI on the file system of the files.
    files
        The files, in order.
    folder
        Folder for the unpacked images, on every node.
    counts
        Number of rows of each file.
    """
    total = hashlib.sha256(uri.encode())
    for file in files:
        total.update(f"{file.path}\0{file.size}\0{file.mtime_ns}\n".encode())
    paths = tuple(file.path for file in files)
    rows = np.arange(sum(counts), dtype=np.int64)
    return PackedImages(uri, paths, total.hexdigest()[:32], str(folder), tuple(counts), rows)

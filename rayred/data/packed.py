"""The images of Parquet files where they do not fit into memory.

A row of a Parquet file cannot be read without its whole row group. So the encoded images are
unpacked once a node, from wherever the files lie, into an Arrow file that is mapped into memory.
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
    """Encoded images by row; whoever opens them first on a node unpacks them there."""

    uri: str
    """Any address on the file system that the files lie on."""
    paths: tuple[str, ...]
    """The Parquet files, as the file system names them."""
    digest: str
    """Of names and sizes of the files."""
    folder: str
    """Where the unpacked images are kept, on every node."""
    counts: tuple[int, ...]
    """Rows of each file."""
    rows: NDArray[np.int64] = field(repr=False)
    """(N,) rows of all files, one after another, that these images are."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> bytes:
        """Return an encoded image; nothing where the row has none."""
        return self._images[int(self.rows[index])].as_py() or b""

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_images"}

    def name(self, index: int) -> str:
        """Say which image is meant."""
        ends = np.cumsum(self.counts)
        file = int(np.searchsorted(ends, self.rows[index], side="right"))
        return f"{self.paths[file]} row {self.rows[index] - ends[file] + self.counts[file]}"

    def take(self, rows: NDArray[np.int64]) -> PackedImages:
        """Return some of the images."""
        return replace(self, rows=self.rows[rows])

    def fingerprint(self) -> str:
        """Return a digest of names and sizes of the files, and of the rows."""
        return hashlib.sha256(self.digest.encode() + self.rows.tobytes()).hexdigest()

    @cached_property
    def _images(self) -> pa.ChunkedArray:
        folder = Path(self.folder).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.digest}.arrow"
        # One process a node unpacks; the others wait for it.
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
    """Return the images of Parquet files, in order of the files.

    Parameters
    ----------
    uri
        Any address on the file system that they lie on.
    files
        The files.
    folder
        Where the unpacked images are to be kept, on every node.
    counts
        Number of rows of each file.
    """
    total = hashlib.sha256(uri.encode())
    for file in files:
        total.update(f"{file.path}\0{file.size}\0{file.mtime_ns}\n".encode())
    paths = tuple(file.path for file in files)
    rows = np.arange(sum(counts), dtype=np.int64)
    return PackedImages(uri, paths, total.hexdigest()[:32], str(folder), tuple(counts), rows)

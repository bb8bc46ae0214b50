"""Damages files of arrays and reads them, as a process of its own with little memory.

python -m tests.clustering.damaged_files KIND COUNT FOLDER
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayred.clustering.array_files import read_embeddings, read_labels
from rayred.errors import ConfigError, DataError

MEMORY = 2**31
N = 300
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 16))
NAMES = np.array(["cat", "dog", "eel"])[RNG.integers(0, 3, N)]


def numpy_bytes(save: Any, *arrays: Any, **named: Any) -> bytes:
    file = BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def parquet_bytes(column: str, values: Any, **options: Any) -> bytes:
    file = BytesIO()
    pq.write_table(pa.table({column: values}), file, **options)
    return file.getvalue()


def files(kind: str) -> list[tuple[bool, bytes]]:
    """Return whole files: whether each has embeddings, else labels, and its bytes."""
    if kind == "npy":
        return [
            (True, numpy_bytes(np.save, X)),
            (True, numpy_bytes(np.save, X.astype(">f2"))),
            (False, numpy_bytes(np.save, NAMES)),
            (False, numpy_bytes(np.save, NAMES.astype("S"))),
            (False, numpy_bytes(np.save, np.arange(N))),
        ]
    if kind == "npz":
        return [
            (True, numpy_bytes(np.savez, embeddings=X)),
            (True, numpy_bytes(np.savez_compressed, embeddings=X, labels=NAMES)),
            (False, numpy_bytes(np.savez_compressed, labels=NAMES)),
        ]
    fixed = pa.array(list(X.astype(np.float32)), pa.list_(pa.float32(), 16))
    plain = {"compression": "none", "use_dictionary": False}
    return [
        (True, parquet_bytes("embedding", list(X))),
        (True, parquet_bytes("embedding", list(X.round(1)), compression="none")),
        (True, parquet_bytes("embedding", fixed, compression="zstd", row_group_size=100)),
        (False, parquet_bytes("label", NAMES)),
        (False, parquet_bytes("label", pa.array(NAMES).dictionary_encode(), compression="none")),
        (False, parquet_bytes("label", NAMES, column_encoding="DELTA_BYTE_ARRAY", **plain)),
        (False, parquet_bytes("label", np.arange(N), **plain)),
    ]


def damage(whole: bytes, rng: np.random.Generator) -> bytes:
    """Cut a file, take a piece out of it, or change bytes: anywhere, at its start or at its end."""
    content, size = bytearray(whole), len(whole)
    how = rng.integers(5)
    if how == 0:
        return bytes(content[: rng.integers(1, size)])
    if how == 1:
        first = rng.integers(size)
        del content[first : first + rng.integers(1, 64)]
        return bytes(content)
    low, high = [(0, size), (0, min(size, 130)), (max(0, size - 700), size)][how - 2]
    for place in rng.integers(low, high, size=rng.integers(1, 6)):
        content[place] ^= 1 << rng.integers(8)
    return bytes(content)


def read(path: Path, embeddings: bool) -> None:
    if embeddings:
        read_embeddings(path)
    else:
        read_labels(path, N)


def main(kind: str, count: int, folder: Path) -> None:
    """Print how many files were read and refused, and what else was raised."""
    path, whole = folder / f"x.{kind}", files(kind)
    for embeddings, content in whole:  # before the limit: whatever is loaded at first use
        path.write_bytes(content)
        read(path, embeddings)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    warnings.simplefilter("ignore")  # NumPy's, about headers that Python 2 may have written
    done, refused, escaped, longest = 0, 0, [], 0.0
    for number in range(count):
        rng = np.random.default_rng([1, number])
        embeddings, content = whole[rng.integers(len(whole))]
        path.write_bytes(damage(content, rng))
        started = time.perf_counter()
        try:
            read(path, embeddings)
            done += 1
        except (ConfigError, DataError) as error:
            refused += 1
            if isinstance(error.__cause__, MemoryError):
                escaped.append(f"{number}: {error}")
        except Exception as error:  # noqa: BLE001 - that there is none is what is tested
            escaped.append(f"{number}: {type(error).__name__}: {error}")
        longest = max(longest, time.perf_counter() - started)
    counts = {"read": done, "refused": refused, "escaped": escaped, "longest_seconds": longest}
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

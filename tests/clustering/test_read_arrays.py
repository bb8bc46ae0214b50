"""Files of embeddings and labels: read as they are, or refused in a sentence that names them."""

import datetime
import io
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayred.clustering.read_arrays import read_embeddings, read_labels
from rayred.errors import ConfigError

X = np.random.default_rng(0).normal(size=(8, 4))


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array, allow_pickle=True)
    return path


def column(path: Path, values: object, name: str) -> Path:
    pq.write_table(pa.table({name: values}), path)
    return path


@pytest.mark.parametrize(
    "x",
    [
        X,
        X.astype(np.float32),
        X.astype(np.float16),
        X.astype(">f8"),
        np.asfortranarray(X),
        X * 1e-60,
        X * 1e60,
        X * 1e-310,
        (100 * X).astype(np.int64),
        (10 * X).astype(np.uint8),
        X > 0,
    ],
)
def test_real_numbers_are_read_as_they_are(tmp_path, x):
    read = read_embeddings(save(tmp_path / "x.npy", x))
    assert read.dtype == x.dtype
    np.testing.assert_array_equal(read, x)
    np.savez(tmp_path / "x.npz", embeddings=x, other=np.zeros(1))
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.npz"), x)


@pytest.mark.parametrize(
    "x",
    [
        X + 1j * X,
        X.astype(str),
        X.astype(bytes),
        np.zeros((8, 4), "datetime64[s]"),
        np.zeros(8, [("a", "f4"), ("b", "f4")]),
        np.array([["cat"], ["dog"]], dtype=object),
        np.ones(4),
        np.ones((0, 4)),
        np.ones((4, 0)),
        np.full((2, 2), 2**53 + 1),
        np.full((2, 2), 2**64 - 1, np.uint64),
    ],
)
def test_other_arrays_are_refused(tmp_path, x):
    with pytest.raises(ConfigError, match=r"x\.npy: "):
        read_embeddings(save(tmp_path / "x.npy", x))


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16(), 4)]
)
def test_lists_of_numbers_are_rows(tmp_path, kind):
    rows = X.astype(kind.value_type.to_pandas_dtype())
    table = column(tmp_path / "x.parquet", pa.array(list(rows), kind), "embedding")
    np.testing.assert_array_equal(read_embeddings(table), rows)


ROWS = [row.tolist() for row in X]


@pytest.mark.parametrize(
    ("rows", "kind", "message"),
    [
        ([*ROWS[:3], None, *ROWS[4:]], None, "row 3 is null"),
        ([*ROWS[:3], None, *ROWS[4:]], pa.list_(pa.float64(), 4), "a row is null"),
        ([*ROWS[:3], [1.0, None, 2.0, 3.0], *ROWS[4:]], None, "row 3 has a null"),
        ([[1.0], [1.0, 2.0, 3.0], [4.0, 5.0], [6.0, 7.0]], None, "row 1 has 3 numbers, row 0"),
        ([*ROWS[:3], [], *ROWS[4:]], None, "row 3 has 0 numbers, row 0 has 4"),
        ([{"a": 1.0}] * 4, None, "expected lists of numbers"),
        ([[[1.0, 2.0]]] * 4, None, "expected lists of numbers"),
        ([["a"]] * 4, None, "expected lists of numbers"),
    ],
)
def test_rows_that_are_no_lists_of_as_many_numbers_are_named(tmp_path, rows, kind, message):
    table = column(tmp_path / "x.parquet", pa.array(rows, kind), "embedding")
    with pytest.raises(ConfigError, match=rf"x\.parquet: column embedding.*{message}"):
        read_embeddings(table)


TEXT = pa.array(["cat", "None", "dog", "cat"])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (TEXT, ["cat", "None", "dog", "cat"]),
        (TEXT.cast(pa.large_string()), ["cat", "None", "dog", "cat"]),
        (TEXT.cast(pa.string_view()), ["cat", "None", "dog", "cat"]),
        (TEXT.dictionary_encode(), ["cat", "None", "dog", "cat"]),
        (TEXT.cast(pa.binary()), ["cat", "None", "dog", "cat"]),
        (pa.array([5, 2, 5, 2]).dictionary_encode(), [5, 2, 5, 2]),
        (pa.array([1, 0, 1, 1], pa.int8()), [1, 0, 1, 1]),
        (pa.array([2**64 - 1, 0, 0, 1], pa.uint64()), [2**64 - 1, 0, 0, 1]),
        (pa.array([True, False, True, True]), [True, False, True, True]),
    ],
)
def test_labels_of_every_type(tmp_path, labels, expected):
    read = read_labels(column(tmp_path / "y.parquet", labels, "label"), 4)
    assert read.tolist() == expected
    np.save(tmp_path / "y.npy", read)
    assert read_labels(tmp_path / "y.npy", 4).tolist() == expected


def test_labels_of_bytes_are_text(tmp_path):
    read = read_labels(save(tmp_path / "y.npy", np.array([b"cat", b"caf\xc3\xa9"])), 2)
    assert read.tolist() == ["cat", "café"]
    with pytest.raises(ConfigError, match="have to be UTF-8"):
        read_labels(save(tmp_path / "y.npy", np.array([b"caf\xe9"])), 1)


@pytest.mark.parametrize(
    "labels",
    [
        pa.array(["cat", None, "None", "cat"]),
        pa.array([0, None, 1, 1]),
        pa.array(["cat", None, "dog", "cat"]).dictionary_encode(),
        pa.array([True, None, False, True]),
    ],
)
def test_a_missing_label_is_no_class(tmp_path, labels):
    with pytest.raises(ConfigError, match=r"y\.parquet: column label: row 1 is null"):
        read_labels(column(tmp_path / "y.parquet", labels, "label"), 4)


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([0.0, 1.0, 1.0, 0.0]),
        pa.array([datetime.date(2020, 1, 1)] * 4),
        pa.array([Decimal("1.0")] * 4),
        pa.array([{"a": 1}] * 4),
        pa.array([[1], [2], [3], [4]]),
    ],
)
def test_other_labels_are_refused(tmp_path, labels):
    with pytest.raises(ConfigError, match=r"y\.parquet.*expected"):
        read_labels(column(tmp_path / "y.parquet", labels, "label"), 4)


def written(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == ".npy":
        np.save(file, X)
    elif kind == ".npz":
        np.savez(file, embeddings=X)
    else:
        pq.write_table(pa.table({"embedding": list(X)}), file)
    return file.getvalue()


@pytest.mark.parametrize("kind", [".npy", ".npz", ".parquet"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
def test_cut_files_are_refused(tmp_path, kind, share):
    content = written(kind)
    (tmp_path / f"x{kind}").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ConfigError, match=r"x\.np[yz]: cannot be read|x\.parquet: cannot be read"):
        read_embeddings(tmp_path / f"x{kind}")


def test_what_is_no_such_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_embeddings(tmp_path / "x.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        read_embeddings(tmp_path / "folder.npy")
    (tmp_path / "text.npy").write_text("1 2 3\n")
    with pytest.raises(ConfigError, match=r"text\.npy: cannot be read"):
        read_embeddings(tmp_path / "text.npy")
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "two.npz", a=X, b=X)
    for name, found in (("none", "found none"), ("two", "found a, b")):
        with pytest.raises(ConfigError, match=rf"expected an array named embeddings, {found}"):
            read_embeddings(tmp_path / f"{name}.npz")
    with pytest.raises(ConfigError, match="expected a column named label, found embedding"):
        read_labels(column(tmp_path / "x.parquet", list(X), "embedding"), 8)


def test_an_announced_size_that_no_file_has_is_refused(tmp_path):
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**15, 4)}
    np.lib.format.write_array_header_1_0(file, header)
    (tmp_path / "x.npy").write_bytes(file.getvalue() + bytes(100))
    with pytest.raises(ConfigError, match=r"x\.npy: cannot be read"):
        read_embeddings(tmp_path / "x.npy")


FUZZ = """
import resource, sys
from pathlib import Path
from rayred.clustering.read_arrays import read_embeddings, read_labels
from rayred.errors import RayredError
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**31,) * 2)
for path in sorted(Path(sys.argv[1]).iterdir()):
    for read in (read_embeddings, lambda path: read_labels(path, 8)):
        try:
            read(path)
        except RayredError as error:
            assert path.name in str(error) and "\\n" not in str(error), str(error)
print("all read or refused")
"""


def test_damaged_files_are_read_or_refused_within_bounds(tmp_path):
    """A process of its own, as its memory is bounded and a damaged file may end it."""
    rng = np.random.default_rng(0)
    for kind in (".npy", ".npz", ".parquet"):
        content = written(kind)
        for number in range(70):
            damaged = bytearray(content)
            for _ in range(int(rng.integers(1, 6))):
                within = len(damaged) if rng.random() < 0.5 else 128
                place = int(rng.integers(0, within))
                damaged[-place - 1 if kind == ".parquet" else place] = int(rng.integers(0, 256))
            end = int(rng.integers(1, len(damaged))) if rng.random() < 0.2 else len(damaged)
            (tmp_path / f"{number}{kind}").write_bytes(damaged[:end])
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
        check=False,
    )
    assert done.stdout == "all read or refused\n", done.stderr[-2000:]

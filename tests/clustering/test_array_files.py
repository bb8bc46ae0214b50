"""Embeddings and labels from files: what is read as it is, and what is refused, by name and row."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayred.clustering import parquet_columns
from rayred.clustering.array_files import cluster_files, read_embeddings, read_labels
from rayred.clustering.groups import redundant_groups
from rayred.errors import DataError
from tests.conftest import rayred_here

ROWS = np.random.default_rng(0).normal(size=(8, 4))
LISTS = ROWS.tolist()
NAMES = ["cat", "cat", "dog", "dog", "dog", "eel", "eel", "cat"]


def parquet(path: Path, column: str, values: Any, type: pa.DataType | None = None) -> Path:
    array = values if isinstance(values, pa.Array) else pa.array(values, type)
    pq.write_table(pa.table({"other": np.arange(len(array)), column: array}), path)
    return path


def npy(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


def refusal(read: Callable[..., object], path: Path, *arguments: object) -> str:
    """Return what is said of a file beyond its name."""
    with pytest.raises(DataError) as caught:
        read(path, *arguments)
    said = str(caught.value)
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


# Embeddings


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", "i1", "u2", "i8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_embeddings_keep_their_dtype_and_are_memory_mapped(tmp_path, dtype, order):
    x = np.asarray(ROWS * 3, dtype, order=order)
    found = read_embeddings(npy(tmp_path / "x.npy", x))
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found, x)
    assert isinstance(found, np.memmap)


def test_long_double_is_kept(tmp_path):
    x = ROWS.astype(np.longdouble) / 3
    assert np.array_equal(read_embeddings(npy(tmp_path / "x.npy", x)), x)


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (ROWS + 1j * ROWS, "complex128"),
        (ROWS.astype(str), "<U32"),
        (ROWS.astype("S"), r"|S32"),
        (np.arange(32).reshape(8, 4).astype("M8[s]"), "datetime64[s]"),
        (np.arange(32).reshape(8, 4).astype("m8[s]"), "timedelta64[s]"),
        (np.zeros(8, [("a", "f4"), ("b", "f4")]), "[('a', '<f4'), ('b', '<f4')]"),
    ],
)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_embeddings_of_another_dtype_are_refused(tmp_path, array, dtype, ending):
    path = tmp_path / f"x{ending}"
    np.save(path, array) if ending == ".npy" else np.savez(path, embeddings=array)
    assert refusal(read_embeddings, path) == (
        f"expected embeddings that are floats, integers or booleans, got dtype {dtype}"
    )


@pytest.mark.parametrize(
    ("values", "type"),
    [
        (LISTS, pa.list_(pa.float64())),
        (LISTS, pa.large_list(pa.float32())),
        (LISTS, pa.list_(pa.float64(), 4)),
        (LISTS, pa.list_view(pa.float64())),
        (ROWS.astype(np.float16).tolist(), pa.list_(pa.float16())),
        ((ROWS * 9).astype(int).tolist(), pa.list_(pa.int8())),
        ((ROWS > 0).tolist(), pa.list_(pa.bool_())),
    ],
)
@pytest.mark.parametrize("batch", [3, 8192])
def test_lists_of_numbers_are_a_matrix_of_their_dtype(tmp_path, monkeypatch, values, type, batch):
    monkeypatch.setattr(parquet_columns, "BATCH_ROWS", batch)
    found = read_embeddings(parquet(tmp_path / "x.parquet", "embedding", values, type))
    assert found.dtype == type.value_type.to_pandas_dtype()
    assert found.tolist() == pa.array(values, type).to_pylist()


def test_tensors_of_one_dimension_are_rows_and_others_are_refused(tmp_path):
    vectors = pa.FixedShapeTensorArray.from_numpy_ndarray(ROWS)
    path = parquet(tmp_path / "x.parquet", "embedding", vectors)
    assert np.array_equal(read_embeddings(path), ROWS)
    parquet(path, "embedding", pa.FixedShapeTensorArray.from_numpy_ndarray(ROWS.reshape(8, 2, 2)))
    assert "is of type extension<arrow.fixed_shape_tensor" in refusal(read_embeddings, path)


@pytest.mark.parametrize("batch", [2, 8192])
@pytest.mark.parametrize(
    ("values", "type", "said"),
    [
        ([*LISTS[:3], None, *LISTS[4:]], None, "row 3 is null; expected a list of numbers in"),
        ([None, *LISTS[1:]], None, "row 0 is null; expected a list of numbers in every row"),
        ([None] * 3, pa.list_(pa.float64()), "row 0 is null; expected a list of numbers in"),
        (
            [*LISTS[:3], None, *LISTS[4:]],
            pa.list_(pa.float64(), 4),
            "row 3 is null or damaged; expected 4 numbers in every row",
        ),
        (
            [*LISTS[:5], [1.0, None, 1.0, 1.0], *LISTS[6:]],
            pa.list_(pa.float64(), 4),
            "row 5 has a number that is null",
        ),
        ([*LISTS[:5], [1.0, None, 1.0, 1.0], *LISTS[6:]], None, "row 5 has a number that is null"),
        ([[1, 2], [3, None]], None, "row 1 has a number that is null; expected numbers only"),
        ([*LISTS[:3], [], *LISTS[4:]], None, "row 3 has 0 numbers, row 0 has 4; expected"),
        ([[1.0], [1.0, 2.0, 3.0], [4.0, 5.0], [6.0, 7.0]], None, "row 1 has 3 numbers, row 0"),
        ([[1.0, 2.0]] * 3 + [[1.0]] * 2, None, "row 3 has 1 numbers, row 0 has 2; expected"),
        ([[], []], pa.list_(pa.float64()), "row 0 is an empty list; expected a list of numbers"),
        ([], pa.list_(pa.float64()), "has no rows; expected at least one"),
    ],
)  # fmt: skip
def test_lists_that_are_missing_or_differ_are_named(
    tmp_path, monkeypatch, values, type, said, batch
):
    monkeypatch.setattr(parquet_columns, "BATCH_ROWS", batch)
    path = parquet(tmp_path / "x.parquet", "embedding", values, type)
    assert refusal(read_embeddings, path).startswith(said)


@pytest.mark.parametrize(
    "values",
    [
        [[[1.0, 2.0]]] * 4,
        [{"a": 1.0}] * 4,
        [[{"a": 1.0}]] * 4,
        [["1", "2"]] * 4,
        [[Decimal("1.5")]] * 4,
        [[datetime.date(2020, 1, 1)]] * 4,
        [[None, None]] * 4,
        [1.0] * 4,
        ["1.0"] * 4,
    ],
)
def test_columns_of_another_type_are_refused(tmp_path, values):
    path = parquet(tmp_path / "x.parquet", "embedding", values)
    type = pq.read_schema(path).field("embedding").type
    assert refusal(read_embeddings, path) == (
        f"column embedding is of type {type}; expected lists of floats, integers or booleans"
    )


def test_columns_that_are_missing_or_there_twice_are_refused(tmp_path):
    path = parquet(tmp_path / "x.parquet", "vector", LISTS)
    assert refusal(read_embeddings, path) == (
        "expected one column named embedding, found other, vector"
    )
    columns = [pa.array(LISTS)] * 2
    pq.write_table(pa.Table.from_arrays(columns, ["embedding"] * 2), path)
    assert "found embedding, embedding" in refusal(read_embeddings, path)


# Labels

PLAIN = [
    pa.array(NAMES),
    pa.array(NAMES, pa.large_string()),
    pa.array(NAMES, pa.string_view()),
    pa.array(NAMES).dictionary_encode(),
    pa.array([name.encode() for name in NAMES]),
    pa.array([name.encode() for name in NAMES], pa.binary(3)),
    pa.array([name.encode() for name in NAMES], pa.large_binary()).dictionary_encode(),
]


@pytest.mark.parametrize("values", PLAIN, ids=lambda values: str(values.type))
@pytest.mark.parametrize("batch", [3, 8192])
def test_text_labels_of_every_type_are_text(tmp_path, monkeypatch, values, batch):
    monkeypatch.setattr(parquet_columns, "BATCH_ROWS", batch)
    found = read_labels(parquet(tmp_path / "y.parquet", "label", values), 8)
    assert found.tolist() == NAMES


@pytest.mark.parametrize("array", [np.array(NAMES), np.array(NAMES, ">U5"), np.array(NAMES, "S")])
def test_text_labels_of_arrays_are_text(tmp_path, array):
    assert read_labels(npy(tmp_path / "y.npy", array), 8).tolist() == NAMES


def test_labels_that_differ_in_a_trailing_nul_are_two_classes(tmp_path):
    path = parquet(tmp_path / "y.parquet", "label", ["é", "é\0"])
    assert read_labels(path, 2).tolist() == ["é", "é\0"]


@pytest.mark.parametrize("width", [8, 16, 32, 64])
@pytest.mark.parametrize("kind", ["int", "uint"])
def test_integer_labels_keep_their_values_and_dtype(tmp_path, kind, width):
    dtype = np.dtype(f"{kind}{width}")
    values = np.array([np.iinfo(dtype).max, np.iinfo(dtype).min, np.iinfo(dtype).max - 1], dtype)
    swapped = npy(tmp_path / "y.npy", values.astype(dtype.newbyteorder(">")))
    encoded = pa.array(values).dictionary_encode()
    for path in (
        parquet(tmp_path / "y.parquet", "label", pa.array(values)),
        parquet(tmp_path / "z.parquet", "label", encoded),
        swapped,
    ):
        found = read_labels(path, 3)
        assert found.dtype.str == dtype.str
        assert found.tolist() == values.tolist()


def test_booleans_are_labels(tmp_path):
    path = parquet(tmp_path / "y.parquet", "label", [True, False])
    assert read_labels(path, 2).tolist() == [True, False]
    assert read_labels(npy(tmp_path / "y.npy", np.array([True, False])), 2).dtype == bool


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["cat", "cat", "cat", None, "dog", None]),
        pa.array(["cat", "cat", "cat", None], pa.string_view()),
        pa.array(["None", "cat", "cat", None]).dictionary_encode(),
        pa.array([b"cat", b"cat", b"cat", None]),
        pa.array([0, 1, 1, None]),
        pa.array([2**64 - 1, 1, 1, None], pa.uint64()),
        pa.array([5, 7, 7, None]).dictionary_encode(),
        pa.array([True, False, False, None]),
    ],
    ids=lambda values: str(values.type),
)
@pytest.mark.parametrize("batch", [2, 8192])
def test_a_null_is_no_class(tmp_path, monkeypatch, values, batch):
    monkeypatch.setattr(parquet_columns, "BATCH_ROWS", batch)
    path = parquet(tmp_path / "y.parquet", "label", values)
    said = refusal(read_labels, path, len(values))
    assert said == "row 3 is null; expected an integer or text in every row"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.nulls(3), "row 0 is null"),
        (pa.array([0.0, 1.0, 1.0]), "is of type double; expected integer or text labels"),
        (pa.array([0.0, np.nan, 1.0], pa.float32()), "is of type float"),
        (pa.array([Decimal("1.0")] * 3), "is of type decimal128(2, 1)"),
        (pa.array([datetime.date(2020, 1, 1)] * 3), "is of type date32[day]"),
        (pa.array([datetime.datetime(2020, 1, 1)] * 3), "is of type timestamp[us]"),
        (pa.array([datetime.time(1)] * 3), "is of type time64[us]"),
        (pa.array([{"a": 1}] * 3), "is of type struct<a: int64>"),
        (pa.array([[1]] * 3), "is of type list<"),
        (pa.array([b"cat", b"\xff\xfe", b"cat"]), "row 1 is no Unicode text; expected integer"),
        (pa.array([1, 2]), "expected 3 labels, one an embedding, got shape (2,)"),
        (np.array([0.0, 1.0, np.nan]), "expected integer or text labels, got dtype float64"),
        (np.zeros(3, "M8[D]"), "expected integer or text labels, got dtype datetime64[D]"),
        (np.zeros((3, 1), int), "expected 3 labels, one an embedding, got shape (3, 1)"),
        (np.array([b"cat", b"\xff", b"cat"]), "row 1 is no Unicode text"),
        (np.array(["cat", "\ud800", "cat"]), "row 1 is no Unicode text"),
        (np.array([99, 2**31, 99], np.uint32).view("U1"), "row 1 is no Unicode text"),
    ],
)
def test_labels_of_another_type_are_refused(tmp_path, values, said):
    if isinstance(values, np.ndarray):
        path = npy(tmp_path / "y.npy", values)
    else:
        path = parquet(tmp_path / "y.parquet", "label", values)
    assert said in refusal(read_labels, path, 3)


@pytest.mark.parametrize(
    ("labels", "type", "values"),
    [
        (pa.array(NAMES), pa.string(), NAMES),
        (pa.array(NAMES).dictionary_encode(), pa.string(), NAMES),
        (pa.array([name.encode() for name in NAMES]), pa.string(), NAMES),
        (pa.array([7, 7, 5, 5, 5, 5, 5, 7]).dictionary_encode(), pa.int64(), None),
        (pa.array([2**64 - 1] * 4 + [2**64 - 2] * 4, pa.uint64()), pa.uint64(), None),
        (pa.array([3] * 8, pa.int8()), pa.int8(), None),
        (pa.array([True, False] * 4), pa.bool_(), None),
        (np.array(NAMES), pa.string(), NAMES),
        (np.array(NAMES, "S"), pa.string(), NAMES),
        (np.array([1, 0] * 4, ">i4"), pa.int32(), None),
    ],
)
def test_the_labels_written_are_those_read(tmp_path, labels, type, values):
    if isinstance(labels, np.ndarray):
        y = npy(tmp_path / "y.npy", labels)
    else:
        y = parquet(tmp_path / "y.parquet", "label", labels)
    out = tmp_path / "out.parquet"
    cluster_files(npy(tmp_path / "x.npy", ROWS), y, 0.5, out)
    written = pq.read_table(out).column("label")
    assert written.type == type
    assert written.to_pylist() == (values or labels.tolist())


# Rows that have no cosine distance


def test_the_row_named_is_that_of_the_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(30, 4))
    x[17] = np.nan
    y = npy(tmp_path / "y.npy", np.arange(30) % 3)
    path = npy(tmp_path / "x.npy", x)
    assert refusal(cluster_files, path, y, 0.5, tmp_path / "o.npy") == (
        "row 17 has a value that is NaN or infinite (class 2)"
    )
    x[9] = 0
    npy(path, x)
    npy(y, np.array(["cat", "dog", "eel"])[np.arange(30) % 3])
    assert refusal(cluster_files, path, y, 0.5, tmp_path / "o.npy") == (
        "row 9 is all zero: its cosine distance is undefined (class 'cat'), the first of 2 rows"
        " that cannot be used"
    )


@pytest.mark.parametrize("scale", [1e-310, 1e-60, 1e60, 1e300])
def test_the_scale_of_the_rows_of_a_file_does_not_matter(tmp_path, scale):
    x = np.random.default_rng(1).integers(1, 50, (40, 3)).astype(float)
    y = npy(tmp_path / "y.npy", np.zeros(40, int))
    kept = []
    for factor in (1, scale):
        cluster_files(npy(tmp_path / "x.npy", x * factor), y, 0.5, tmp_path / "o.npy")
        kept.append(np.load(tmp_path / "o.npy").tolist())
    assert kept[0] == kept[1]
    assert kept[0] == redundant_groups(x, np.zeros(40, int), [0.5]).kept[0.5].tolist()


# Files that cannot be read


def header(shape: str, descr: str = "<f8") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1")


def saved(save: Callable[..., None], *arrays: Any, **named: Any) -> bytes:
    file = BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def zipped(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def lying(content: bytes) -> bytes:
    """Return a zip file whose directory says that its member has 2 GB."""
    size = content.index(b"PK\x01\x02") + 24
    return content[:size] + (2**31).to_bytes(4, "little") + content[size + 4 :]


WHOLE = saved(np.save, np.ones((20, 4)))
ZIPPED = saved(np.savez, embeddings=np.ones((20, 4)))
OBJECTS = np.array([["cat"]], object)
HUGE = header("(1000000000000000, 4)") + bytes(64)
EMPTY = "is empty; expected a file with values"
TEXT = r"cannot be read: it begins with b'1 2 3\n'; expected what NumPy's save or savez writes"
CUT = "it is cut or damaged"
ODD = "it is cut, damaged or of another format"
PICKLED = "cannot be read: it holds Python objects, which are not unpickled; expected numbers or"
BROKEN = {
    "empty.npy": (b"", EMPTY),
    "empty.npz": (b"", EMPTY),
    "empty.parquet": (b"", EMPTY),
    "text.npy": (b"1 2 3\n", TEXT),
    "text.npz": (b"1 2 3\n", TEXT),
    "text.parquet": (b"1 2 3\n", ODD),
    "text-inside.npz": (
        zipped("a.txt", b"hi"),
        "array a.txt: cannot be read: it begins with b'hi'",
    ),
    "cut.npy": (WHOLE[:384], "shape (20, 4) of dtype float64 takes 640 bytes, the file has 256"),
    "cut.npz": (ZIPPED[:400], ODD),
    "header.npy": (WHOLE[:128], "takes 640 bytes, the file has 0; it is cut or damaged"),
    "cut-header.npy": (WHOLE[:9], ODD),
    "more.npy": (WHOLE + WHOLE, "takes 640 bytes, the file has 1,408; it is cut or damaged"),
    "version.npy": (
        WHOLE.replace(b"\x01\x00", b"\x03\x00", 1),
        "of .npy version 3.0; expected 1.0",
    ),
    "objects.npy": (saved(np.save, OBJECTS), PICKLED),
    "objects.npz": (saved(np.savez, embeddings=OBJECTS), f"array embeddings: {PICKLED}"),
    "huge.npy": (HUGE, "takes 32,000,000,000,000,000 bytes, the file has 64; it is cut or damaged"),
    "huge.npz": (
        zipped("embeddings.npy", HUGE),
        "array embeddings: cannot be read: shape (1000000",
    ),
    "lying.npz": (lying(ZIPPED), "array embeddings: cannot be read: it announces 2,147,483,648 b"),
    "lzma.npz": (zipped("x.npy", WHOLE, zipfile.ZIP_LZMA), "compressed by zip method 14; expected"),
    "wraps.npy": (header("(4294967296, 4294967296)"), CUT),
    "negative.npy": (header("(-8, -1)") + bytes(64), CUT),
    "no-rows.npy": (header("(0, 4)"), "has no values: shape (0, 4); expected at least one"),
    "no-columns.npy": (header("(20, 0)"), "has no values: shape (20, 0); expected at least one"),
    "no-bytes.npy": (header("(1000000000000000, 4)", "<U0"), "has no values: shape (10000000000"),
    "scalar.npy": (header("()") + bytes(8), "expected embeddings of shape (n, d), got shape ()"),
    "flat.npy": (header("(4,)") + bytes(32), "expected embeddings of shape (n, d), got shape (4,)"),
    "none.npz": (saved(np.savez), "expected an array named embeddings, found none"),
    "two.npz": (
        saved(np.savez, a=np.ones(1), b=np.ones(1)),
        "expected an array named embeddings, found a, b",
    ),
    "many.npz": (
        saved(np.savez, *[np.ones(1)] * 9),
        "expected an array named embeddings, found arr_0, arr_1, arr_2, arr_3, arr_4 and 4 more",
    ),
    "npy.parquet": (WHOLE, ODD),
}
"""By name, the contents of a file, and what is said of it."""


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_files_are_refused_in_one_sentence(tmp_path, name):
    """By the reader, by the command line as embeddings, and as labels."""
    content, said = BROKEN[name]
    path = tmp_path / f"broken-{name}"
    path.write_bytes(content)
    assert said in refusal(read_embeddings, path)
    good, out = npy(tmp_path / "good.npy", np.ones((20, 4))), tmp_path / "o.npy"
    labels = npy(tmp_path / "y.npy", np.zeros(20, int))
    for x, y in ((path, labels), (good, path)):
        done = rayred_here("cluster", x, "--labels", y, "--keep", "0.5", "--out", out)
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"rayred: {path}: ")
        assert done.stderr.count("\n") == 1
        assert not out.exists()


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet"])
def test_what_is_no_file_is_refused(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    assert refusal(read_embeddings, path) == "cannot be read: No such file or directory"
    path.mkdir()
    assert refusal(read_embeddings, path) == "is a folder; expected a file"
    path.rmdir()
    os.mkfifo(path)
    assert refusal(read_embeddings, path) == "is not a regular file; expected a file"


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet"])
def test_a_file_that_may_not_be_read_is_refused(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"values")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    assert "ermission denied" in refusal(read_embeddings, path)


def test_the_contents_decide_between_npy_and_npz(tmp_path):
    np.savez(tmp_path / "x.npz", embeddings=ROWS, other=np.zeros(1))
    (tmp_path / "x.npz").rename(tmp_path / "x.npy")
    assert np.array_equal(read_embeddings(tmp_path / "x.npy"), ROWS)
    npy(tmp_path / "z.npy", ROWS).rename(tmp_path / "z.npz")
    assert np.array_equal(read_embeddings(tmp_path / "z.npz"), ROWS)


def test_compressed_arrays_and_the_only_array_of_another_name_are_read(tmp_path):
    x = np.zeros((1000, 100))
    x[:, 0] = 1
    np.savez_compressed(tmp_path / "x.npz", vectors=x)
    assert np.array_equal(read_embeddings(tmp_path / "x.npz"), x)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as on Linux")
@pytest.mark.parametrize("kind", ["npy", "npz", "parquet"])
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    """Two hundred files of each kind, in a process that may take 2 GB more than it has."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.clustering.damaged_files", kind, "200", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["escaped"] == []
    assert counts["refused"] >= 100
    assert counts["read"] + counts["refused"] == 200
    assert counts["longest_seconds"] < 10

"""The kept rows of tables, with all of their columns, in the layout that they came in."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayred.data.hub import HubRows
from rayred.data.parquet import ParquetFile, ParquetRows
from tests.conftest import rayred_here
from tests.data.examples import structs, write_parquet
from tests.faults.snapshots import snapshot

ROWS = 30


def columns(first: int, n: int) -> dict[str, object]:
    rows = np.arange(first, first + n)
    return {
        "images": structs(*(5 * rows).tolist()),
        "labels": (rows % 2).tolist(),
        "caption": pa.array([None if row % 7 == 0 else f"image {row}" for row in rows]),
        "box": pa.array([[row, row + 0.5] for row in rows.tolist()], pa.list_(pa.float32(), 2)),
        "kind": pa.array([f"k{row % 3}" for row in rows]).dictionary_encode(),
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Parquet files of 10 rows each, at two depths, and the same rows as a saved data set."""
    home = tmp_path_factory.mktemp("home")
    paths = [home / "pets" / name for name in ("a.parquet", "more/b.parquet", "more/c.parquet")]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(path, names=["cat", "dog"], **columns(10 * number, 10))
    table = pq.read_table(paths[1])
    pq.write_table(table, paths[1], row_group_size=3, compression="zstd")
    everything = pa.concat_tables([pq.read_table(path) for path in paths])
    whole = datasets.Dataset(everything.replace_schema_metadata(None))
    whole.save_to_disk(home / "alone")
    datasets.DatasetDict({"train": whole, "test": whole.select(range(4))}).save_to_disk(
        home / "two"
    )
    np.save(home / "x.npy", np.random.default_rng(0).normal(size=(ROWS, 3)))
    return home


def parquet_rows(home: Path) -> ParquetRows:
    files = [
        ParquetFile("file:///", str(path), path.stat().st_size, 0, "image", 10)
        for path in sorted((home / "pets").rglob("*.parquet"))
    ]
    return ParquetRows(tuple(files), str(home / "root"), None)


@pytest.mark.parametrize("rows", [[0, 9, 10, 11, 29], list(range(ROWS)), [12, 13, 14, 19], [5]])
def test_rows_of_parquet_files_keep_all_columns(home, tmp_path, rows):
    parquet_rows(home).write(np.array(rows), tmp_path / "data")
    written = sorted(path.relative_to(tmp_path / "data") for path in tmp_path.rglob("*.parquet"))
    sources = [home / "pets" / name for name in ("a.parquet", "more/b.parquet", "more/c.parquet")]
    assert [str(one) for one in written] == [
        str(path.relative_to(home / "pets"))
        for number, path in enumerate(sources)
        if set(rows) & set(range(10 * number, 10 * number + 10))
    ]
    for path in written:
        before, after = (
            pq.ParquetFile(home / "pets" / path),
            pq.ParquetFile(tmp_path / "data" / path),
        )
        assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
        codecs = [one.metadata.row_group(0).column(0).compression for one in (before, after)]
        assert codecs[0] == codecs[1]
    found = pa.concat_tables([pq.read_table(tmp_path / "data" / path) for path in written])
    everything = pa.concat_tables([pq.read_table(path) for path in sources])
    assert found.to_pylist() == everything.take(rows).to_pylist()


def test_every_type_and_compression_is_written(tmp_path):
    rows = pa.table({
        "image": structs(*range(9)),
        "view": pa.array([f"text {row}" for row in range(9)], pa.string_view()),
        "large": pa.array([bytes([row]) for row in range(9)], pa.large_binary()),
        "nested": [{"a": [row], "b": {"c": row}} for row in range(9)],
    })  # fmt: skip
    path, chosen = tmp_path / "x.parquet", [0, 1, 4, 8]
    codecs = {"view": "zstd", "large": "NONE", "nested.b.c": "gzip"}
    pq.write_table(rows, path, compression=codecs, row_group_size=4)
    file = ParquetFile("file:///", str(path), path.stat().st_size, 0, "image", 9)
    ParquetRows((file,), str(tmp_path / "root"), None).write(np.array(chosen), tmp_path / "data")
    written = pq.ParquetFile(tmp_path / "data" / "x.parquet")
    assert written.read().to_pylist() == [rows.to_pylist()[row] for row in chosen]
    found, expected = (
        {one.path_in_schema: one.compression for one in map(group.column, range(group.num_columns))}
        for group in (written.metadata.row_group(0), pq.read_metadata(path).row_group(0))
    )
    assert found == expected
    assert written.num_row_groups == 3


@pytest.mark.parametrize("name", ["alone", "two"])
def test_rows_of_a_saved_data_set_keep_all_columns(home, tmp_path, name):
    source = HubRows(str(home / name), "train", "image", "")
    source.write(np.array([3, 4, 20]), tmp_path / "data")
    found = datasets.load_from_disk(tmp_path / "data")
    if name == "two":
        assert list(found) == ["train"]
        found = found["train"]
    whole = datasets.load_from_disk(home / "alone")
    assert found.features == whole.features
    assert found.to_list() == whole.select([3, 4, 20]).to_list()


@pytest.mark.usefixtures("cluster")
def test_prune_writes_them_and_reads_them_again(home, tmp_path):
    before = snapshot(home / "pets")
    settings = ("--embeddings", home / "x.npy", "--set", f"data.root={home / 'root'}")
    for name, place in ((f"parquet:{home / 'pets'}", "p"), (f"hf:{home / 'two'}", "h")):
        done = rayred_here("prune", name, "--keep", "0.5", "--out", tmp_path / place, *settings)
        assert done.returncode == 0, done.stderr
    kept = np.load(tmp_path / "p" / "kept.npy")
    assert kept.tolist() == np.load(tmp_path / "h" / "kept.npy").tolist()
    captions = [columns(0, ROWS)["caption"][row].as_py() for row in kept]
    files = sorted((tmp_path / "p" / "data").rglob("*.parquet"))
    assert (
        pa.concat_tables([pq.read_table(file) for file in files])["caption"].to_pylist() == captions
    )
    assert datasets.load_from_disk(tmp_path / "h" / "data")["train"]["caption"][:] == captions
    out = tmp_path / "again"
    done = rayred_here(
        "prune", f"parquet:{tmp_path / 'p' / 'data'}", "--keep", "1", "--pixels", "--out", out,
        "--set", f"data.root={home / 'root'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert np.load(out / "kept.npy").tolist() == list(range(len(kept)))
    done = rayred_here(
        "prune", f"parquet:{home / 'pets'}", "--keep", "0.8", "--out", tmp_path / "p", "--update",
        *settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "p" / "data").rglob("*.parquet"))
    assert sum(pq.read_metadata(file).num_rows for file in files) == 24
    assert snapshot(home / "pets") == before

"""The smaller data set without a study, and groups of any embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rayred.clustering.array_files import cluster_files
from rayred.clustering.groups import redundant_groups
from rayred.config import Data
from rayred.data import load_dataset, load_train_split
from rayred.spaces import given_embeddings
from tests.conftest import rayred_here
from tests.data.examples import write_images

LABELS = load_dataset("digits").train.labels


@pytest.mark.usefixtures("cluster")
def test_prune_keeps_what_a_study_kept(finished, tmp_path):
    out = tmp_path / "small"
    embeddings = finished[0] / "embeddings.npy"
    arguments = ["--keep", "0.5", "--out", out, "--embeddings", embeddings]
    done = rayred_here("prune", "digits", *arguments)
    assert done.returncode == 0, done.stderr
    kept = np.load(out / "kept.npy")
    assert np.array_equal(kept, np.load(finished[0] / "subsets" / "semantic-0.5.npy"))
    groups = pq.read_table(out / "groups.parquet").to_pandas()
    assert groups["kept"].sum() == len(kept)
    assert groups[groups["kept"]]["group"].nunique() == len(kept) == groups["group"].nunique()
    assert groups.groupby("group")["class"].nunique().max() == 1


@pytest.mark.usefixtures("cluster")
def test_prune_of_a_folder_trains_and_hands_back_the_images(tmp_path, caplog):
    """One image cannot be decoded, and of each class a tenth rounds to none."""
    for name in ("cat", "dog"):
        write_images(tmp_path / "pets" / name, 4, size=(8, 8))
    (tmp_path / "pets" / "cat" / "0.png").write_bytes(b"no image")
    out = tmp_path / "small"
    done = rayred_here(
        "prune", f"folder:{tmp_path / 'pets'}", "--keep", "0.1", "--out", out,
        "--set", "train.steps=2", "--set", "train.batch_size=4",
        "--set", "data.undecodable=skip", "--set", f"data.root={tmp_path / 'root'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 of 7 images are kept" in done.stdout
    assert "left out of the train split: image that cannot be decoded (1)" in caplog.text
    assert "train,0,cat/0.png," in (out / "left-out.csv").read_text()
    assert 0 not in np.load(out / "kept.npy")  # the broken image's row
    assert "fraction 0.1 of class 'dog' (4 images) rounds to no image; one is kept" in caplog.text
    for name in ("cat", "dog"):
        assert len(list((out / "images" / name).iterdir())) == 1


@pytest.mark.parametrize("keep", ["0", "1.5", "nan", "1e999"])
def test_fraction_out_of_range(tmp_path, keep):
    out = tmp_path / "small"
    done = rayred_here("prune", "digits", "--keep", keep, "--out", out)
    assert done.returncode == 2
    assert "expected a fraction in (0, 1]" in done.stderr
    labels = tmp_path / "labels.npy"
    done = rayred_here("cluster", labels, "--labels", labels, "--keep", keep, "--out", out)
    assert done.returncode == 2
    assert "expected a fraction in (0, 1]" in done.stderr


def test_embeddings_of_another_length(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((5, 3)))
    done = rayred_here(
        "prune", "digits", "--keep", "0.5", "--out", tmp_path / "small",
        "--embeddings", tmp_path / "x.npy",
    )  # fmt: skip
    assert done.returncode == 2
    assert "has 5 rows for 1297 images" in done.stderr


def pets(root: Path) -> str:
    """Return the name of a data set of two classes of four images, cat and dog."""
    for name in ("cat", "dog"):
        write_images(root / "pets" / name, 4)
    return f"folder:{root / 'pets'}"


EMBEDDINGS = np.random.default_rng(0).normal(size=(8, 4))


def with_row(row: int, values: float) -> np.ndarray:
    x = EMBEDDINGS.copy()
    x[row] = values
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (EMBEDDINGS + 1j, "expected embeddings that are floats, integers or booleans, got dtype c"),
        (EMBEDDINGS.astype(str), "got dtype <U32"),
        (np.arange(32).reshape(8, 4).astype("M8[s]"), "got dtype datetime64[s]"),
        (np.zeros((8, 4), [("a", "f4")]), "got dtype [('a', '<f4')]"),
        (np.ones(8), "expected embeddings of shape (n, d), got shape (8,)"),
        (with_row(6, np.nan), "row 6 has a value that is NaN or infinite (class 'dog')"),
        (with_row(5, 0), "row 5 is all zero: its cosine distance is undefined (class 'dog')"),
    ],
)
def test_prune_and_cluster_refuse_the_same_embeddings_alike(tmp_path, x, message):
    path = tmp_path / "x.npy"
    np.save(path, x)
    np.save(tmp_path / "y.npy", np.repeat(["cat", "dog"], 4))
    kept = "--keep", "0.5", "--out", tmp_path / "out.npy"
    pruned = rayred_here("prune", pets(tmp_path), "--embeddings", path, *kept)
    clustered = rayred_here("cluster", path, "--labels", tmp_path / "y.npy", *kept)
    assert pruned.returncode == clustered.returncode == 2
    assert pruned.stderr == clustered.stderr
    assert clustered.stderr.startswith(f"rayred: {path}: ")
    assert message in clustered.stderr
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize(
    "x",
    [
        EMBEDDINGS,
        EMBEDDINGS * 1e-60,
        EMBEDDINGS * 1e60,
        1 + 1e-9 * EMBEDDINGS,
        EMBEDDINGS.astype(np.float16),
        EMBEDDINGS.astype(">f8"),
        2**40 + np.arange(32).reshape(8, 4) ** 2 % 11,
    ],
    ids=["as-is", "tiny", "huge", "close", "half", "big-endian", "integers"],
)
def test_prune_and_cluster_take_the_same_values(tmp_path, x):
    """Nothing is rounded before the linkage scales the rows: cast to float32, they differed."""
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.repeat([0, 1], 4))
    images = load_train_split(pets(tmp_path), Data(root=str(tmp_path / "root")))
    given = given_embeddings(tmp_path / "x.npy", images).value
    assert given.dtype == x.dtype
    assert np.array_equal(given, x)
    cluster_files(tmp_path / "x.npy", tmp_path / "y.npy", 0.5, tmp_path / "kept.npy")
    kept = redundant_groups(given, images.labels, [0.5]).kept[0.5]
    assert np.load(tmp_path / "kept.npy").tolist() == kept.tolist()


def write_array(path: Path, array: np.ndarray, name: str, column: str) -> Path:
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, **{name: array, "other": np.zeros(1)})
    else:
        pq.write_table(pa.table({column: list(array), "other": [0] * len(array)}), path)
    return path


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet"])
def test_cluster_reads_and_writes_every_format(finished, tmp_path, ending):
    embeddings = np.load(finished[0] / "embeddings.npy")
    x = write_array(tmp_path / f"x{ending}", embeddings, "embeddings", "embedding")
    y = write_array(tmp_path / f"y{ending}", LABELS, "labels", "label")
    out = tmp_path / f"out{ending}"
    done = rayred_here("cluster", x, "--labels", y, "--keep", "0.5", "--out", out)
    assert done.returncode == 0, done.stderr
    if ending == ".npy":
        kept = np.load(out)
    elif ending == ".npz":
        kept = np.load(out)["kept"]
    else:
        kept = np.flatnonzero(pq.read_table(out).column("kept").to_numpy())
    assert np.array_equal(kept, np.load(finished[0] / "subsets" / "semantic-0.5.npy"))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones(4), np.zeros(4, int), "expected embeddings of shape (n, d)"),
        (np.ones((4, 2)), np.zeros(3, int), "expected 4 labels"),
        (np.ones((4, 2)), np.zeros(4), "expected integer or text labels"),
        (np.array([[1.0, np.nan], [1, 1]]), np.zeros(2, int), "row 0 has a value that is NaN"),
        (np.array([[1.0, 1.0], [0, 0]]), np.zeros(2, int), "row 1 is all zero"),
    ],
)
def test_cluster_says_what_is_wrong(tmp_path, x, y, message):
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    done = rayred_here(
        "cluster", tmp_path / "x.npy", "--labels", tmp_path / "y.npy", "--keep", "0.5",
        "--out", tmp_path / "out.npy",
    )  # fmt: skip
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "out.npy").exists()


def test_object_arrays_are_not_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[object()]]), allow_pickle=True)
    done = rayred_here(
        "cluster", tmp_path / "x.npy", "--labels", tmp_path / "x.npy", "--keep", "0.5",
        "--out", tmp_path / "out.npy",
    )  # fmt: skip
    assert done.returncode == 2
    assert "cannot be read" in done.stderr

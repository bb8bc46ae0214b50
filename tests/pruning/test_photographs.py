"""Folders and tables as people have them: odd photographs, columns of numbers, no labels."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayred import prune
from rayred.config import Data
from rayred.data import load_dataset, load_train_split
from rayred.data.thumbnails import thumbnails
from rayred.errors import ConfigError, DataError
from tests.conftest import rayred_here
from tests.data.examples import structs
from tests.faults.snapshots import snapshot
from tests.pruning.examples import cosine_distances

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def photographs(tmp_path) -> Path:
    """Four pictures of three sizes, of one of which there are two copies; a file is damaged."""
    rng = np.random.default_rng(1)
    for name in ("cat", "dog"):
        folder = tmp_path / "album" / name
        folder.mkdir(parents=True)
        for number, size in enumerate([(60, 40), (50, 70)]):
            blocks = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
            Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(
                folder / f"{number}.png"
            )
    first = Image.open(tmp_path / "album" / "cat" / "0.png")
    first.save(tmp_path / "album" / "cat" / "same.bmp")
    first.resize((48, 32)).save(tmp_path / "album" / "cat" / "small.jpg", quality=90)
    (tmp_path / "album" / "dog" / "damaged.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path


def test_a_folder_of_odd_photographs_is_taken_as_it_is(photographs, caplog):
    album, out = photographs / "album", photographs / "small"
    before = snapshot(album)
    root = f"data.root={photographs / 'root'}"
    done = rayred_here(
        "prune",
        f"folder:{album}",
        "--pixels",
        "--max-distance",
        "0.02",
        "--out",
        out,
        "--set",
        root,
    )
    assert done.returncode == 0, done.stderr
    assert "is brought to 40 × 40 (data.image_size, data.fit)" in caplog.text
    assert "image that cannot be decoded (1)" in caplog.text
    assert "dog/damaged.jpg" in (out / "left-out.csv").read_text()
    assert "4 of 6 images are kept" in done.stdout
    discarded = (out / "discarded.csv").read_text().splitlines()[1:]
    groups = pq.read_table(out / "groups.parquet").to_pandas().set_index("name")["group"]
    together = ["cat/0.png", "cat/same.bmp", "cat/small.jpg"]
    assert groups[together].nunique() == 1
    assert groups.nunique() == 4
    assert {line.split(",")[0] for line in discarded} < set(together)
    assert snapshot(album) == before


@pytest.mark.parametrize(
    ("representative", "kept"), [("largest", "cat/0.png"), ("oldest", "cat/small.jpg")]
)
def test_the_largest_or_the_oldest_image_of_a_group_is_kept(photographs, representative, kept):
    album, out = photographs / "album", photographs / "small"
    for age, name in enumerate(["same.bmp", "0.png", "small.jpg"]):
        os.utime(album / "cat" / name, (10**9 - age, 10**9 - age))
    done = rayred_here(
        "prune", f"folder:{album}", "--pixels", "--max-distance", "0.02", "--out", out,
        "--representative", representative, "--set", f"data.root={photographs / 'root'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = (out / "kept.txt").read_text().splitlines()
    assert kept in names
    assert len(names) == 4
    with (out / "discarded.csv").open(newline="") as file:
        assert {one["representative"] for one in csv.DictReader(file)} == {kept}
    assert json.loads((out / "choice.json").read_text())["representative"] == representative


@pytest.mark.parametrize(("representative", "kept"), [("highest", 2), ("lowest", 1)])
@pytest.mark.parametrize("source", ["parquet", "hf"])
def test_the_image_of_the_highest_or_lowest_number_is_kept(tmp_path, source, representative, kept):
    """Of four equal images, one of which has no number; another image stays as it is."""
    columns = {"label": ["a"] * 5, "quality": [0.5, -1.0, 3.0, None, 9.0]}
    images = [*structs(10, 10, 10, 10)]
    noise = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    table = pa.table({"image": [*images, {"bytes": buffer.getvalue(), "path": None}], **columns})
    if source == "parquet":
        pq.write_table(table, tmp_path / "x.parquet")
        name = f"parquet:{tmp_path / 'x.parquet'}"
    else:
        datasets.Dataset(table).save_to_disk(tmp_path / "x")
        name = f"hf:{tmp_path / 'x'}"
    options = {"pixels": True, "max_distance": 0.0, "representative": representative}
    root, column = f"data.root={tmp_path / 'root'}", "data.score_column=quality"
    small = prune(name, None, tmp_path / "small", overrides=[root, column], **options)
    assert small.kept.tolist() == [kept, 4]
    choice = json.loads((tmp_path / "small" / "choice.json").read_text())
    assert (choice["representative"], choice["column"]) == (representative, "quality")
    with pytest.raises(ConfigError, match="goes by a column of numbers"):
        prune(name, None, tmp_path / "other", overrides=[root], **options)
    with pytest.raises(DataError, match="has no column 'price'"):
        prune(
            name, None, tmp_path / "other", overrides=[root, "data.score_column=price"], **options
        )
    with pytest.raises(DataError, match=r"column 'label' is .*; expected numbers"):
        prune(
            name, None, tmp_path / "other", overrides=[root, "data.score_column=label"], **options
        )
    assert not (tmp_path / "other").exists()


def test_images_of_a_table_have_no_age(tmp_path):
    out = tmp_path / "small"
    done = rayred_here(
        "prune", "digits", "--pixels", "--keep", "0.5", "--representative", "oldest", "--out", out
    )
    assert done.returncode == 2
    assert "images that are no files have no age" in done.stderr
    assert not out.exists()


def files(folder: Path) -> list[Path]:
    """Return the files below a folder that are images."""
    return sorted(path for path in folder.rglob("*.*") if path.name != "damaged.jpg")


@pytest.mark.parametrize("source", ["folder", "parquet", "hf"])
def test_images_without_labels_are_one_class(photographs, source):
    """Of a folder at any depth, also beside class folders; of a table that has images alone."""
    album, out = photographs / "album", photographs / "small"
    copied = album / "copy-of-a-dog.png"
    copied.write_bytes((album / "dog" / "1.png").read_bytes())
    place = album
    rows = pa.table({"image": [{"bytes": p.read_bytes(), "path": None} for p in files(album)]})
    if source == "parquet":
        place = photographs / "table.parquet"
        pq.write_table(rows, place)
    elif source == "hf":
        place = photographs / "saved"
        datasets.Dataset(rows).cast_column("image", datasets.Image()).save_to_disk(place)
    done = rayred_here(
        "prune", f"{source}:{place}", "--unlabelled", "--pixels", "--max-distance", "0",
        "--out", out, "--set", f"data.root={photographs / 'root'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (out / "discarded.csv").open(newline="") as file:
        discarded = list(csv.DictReader(file))
    assert {one["class"] for one in discarded} == {"images"}
    assert {one["distance"] for one in discarded} == {"0"}
    assert len(discarded) == 2  # same.bmp or 0.png, and the dog or its copy
    assert len(pq.read_table(out / "groups.parquet")) == 7
    if source == "folder":
        names = [str(path.relative_to(out / "images")) for path in files(out / "images")]
        assert names == sorted((out / "kept.txt").read_text().splitlines())


def test_without_labels_there_is_no_reference_model_and_no_study(photographs):
    album, out = photographs / "album", photographs / "small"
    done = rayred_here("prune", f"folder:{album}", "--unlabelled", "--keep", "0.5", "--out", out)
    assert done.returncode == 2
    ways = "--model NAME, --reference DIR, --embeddings FILE or --pixels"
    assert f"no reference model can be trained; give {ways}" in done.stderr
    with pytest.raises(DataError, match="a study trains and tests on labels"):
        load_dataset(f"folder:{album}", Data(unlabelled=True))
    assert not out.exists()


def test_thumbnails_correlate_with_copies_and_not_with_others(photographs):
    split = load_train_split(
        f"folder:{photographs / 'album'}",
        Data(root=str(photographs / "root"), image_size="auto", undecodable="skip"),
    )
    x = thumbnails(split)
    assert x.shape == (6, 32 * 32 * 3)
    assert np.abs(x.mean(axis=1)).max() < 1e-3
    distances = cosine_distances(x.astype(np.float64))
    same, small = split.names.index("cat/same.bmp"), split.names.index("cat/small.jpg")
    assert np.array_equal(x[0], x[same])
    assert distances[0, small] < 0.02
    assert distances[0, [split.names.index(f"dog/{n}.png") for n in (0, 1)]].min() > 0.2

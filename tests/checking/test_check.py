"""`rayred check` on folders whose copies are known."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rayred import check
from rayred.checking.pictures import Pictures
from rayred.config import Data
from rayred.data import load_dataset
from rayred.errors import ConfigError, DataError, RunFolderError
from rayred.store import open_store
from rayred.study import leaks_of
from tests.conftest import rayred_here
from tests.data.examples import write_images
from tests.faults.snapshots import snapshot


def picture(seed: int, size: int = 48) -> Image.Image:
    """A smooth picture of one seed, unlike those of others."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(256, size=(6, 6, 3), dtype=np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


@pytest.fixture(scope="module")
def pets(tmp_path_factory) -> Path:
    """Two classes in two splits, with copies of every kind."""
    home = tmp_path_factory.mktemp("pets")
    for number in range(8):
        save(picture(number), home / "train" / ("cat" if number < 4 else "dog") / f"{number}.png")
    for number in range(8, 12):
        save(picture(number), home / "test" / ("cat" if number < 10 else "dog") / f"{number}.png")
    (home / "train/cat/bytes.png").write_bytes((home / "train/cat/0.png").read_bytes())
    save(picture(1), home / "train/cat/pixels.bmp")
    save(picture(2), home / "test/cat/leak.jpg", quality=80)
    save(picture(3).transpose(Image.Transpose.ROTATE_90), home / "test/dog/turned.png")
    save(picture(4, size=40), home / "train/cat/wrong.png")
    return home


def named(frame: pd.DataFrame) -> set[tuple[str, str, str]]:
    columns = frame[["name", "other_name", "found_by"]]
    return set(columns.itertuples(index=False, name=None))


def test_every_planted_copy_is_found_and_nothing_else(pets):
    checked = check(f"folder:{pets}", overrides=[f"data.root={pets / '.root'}"])
    assert named(checked.copies) == {
        ("cat/0.png", "cat/bytes.png", "bytes+pixels+hash+near"),
        ("cat/1.png", "cat/pixels.bmp", "pixels+hash+near"),
    }
    assert named(checked.conflicts) == {("cat/wrong.png", "dog/4.png", "hash+near")}
    assert named(checked.leaks) == {
        ("cat/leak.jpg", "cat/2.png", "hash+near"),
        ("dog/turned.png", "cat/3.png", "hash"),
    }
    leaks = checked.leaks.set_index("name")
    assert leaks.loc["dog/turned.png", "other_is"] == "turned 90°"
    assert leaks.loc["cat/leak.jpg", "other_is"] == ""
    counts = checked.tables.counts
    assert counts["images"] == {"train": 11, "test": 6}
    assert counts["same_class"] == {"bytes": 2, "pixels": 4, "hash": 4, "near": 4, "any": 4}
    assert counts["other_class"] == {"bytes": 0, "pixels": 0, "hash": 2, "near": 2, "any": 2}
    assert counts["other_split"] == {"bytes": 0, "pixels": 0, "hash": 2, "near": 1, "any": 2}
    assert checked.groups.groupby("group").size().tolist() == [2] * 5
    kept = set(checked.without_leaks("train").tolist())
    rows = checked.leaks.set_index("other_name")["other_row"]
    assert kept == set(range(11)) - {rows["cat/2.png"], rows["cat/3.png"]}


def test_the_command_writes_the_tables_and_a_split_without_leaks(pets, tmp_path):
    before, out = snapshot(pets), tmp_path / "checked"
    arguments = ["check", f"folder:{pets}", "--set", f"data.root={tmp_path / 'root'}"]
    done = rayred_here(*arguments)
    assert done.returncode == 0, done.stderr
    assert "test images that are also in training (leaks)        0        0        2" in done.stdout
    assert not out.exists()
    done = rayred_here(*arguments, "--out", out, "--without-leaks", "test", "--link", "hard")
    assert done.returncode == 0, done.stderr
    assert "4 test images have no copy in the other split" in done.stdout
    for name, count in (("copies", 2), ("conflicts", 1), ("leaks", 2), ("groups", 10)):
        assert len(pd.read_csv(out / f"{name}.csv")) == count
    assert json.loads((out / "check.json").read_text())["limits"]["hash_bits"] == 4
    kept = (out / "kept.txt").read_text().split()
    assert kept == ["cat/8.png", "cat/9.png", "dog/10.png", "dog/11.png"]
    assert len(np.load(out / "kept.npy")) == 4
    assert sorted(
        str(path.relative_to(out / "images")) for path in (out / "images").rglob("*.png")
    ) == sorted(kept)
    assert (out / "images/cat/8.png").samefile(pets / "test/cat/8.png")
    again = rayred_here(*arguments, "--out", out, "--max-distance", "0")
    assert again.returncode == 0, again.stderr
    assert not (out / "kept.txt").exists()
    assert snapshot(pets) == before


def test_a_folder_without_a_test_split_and_one_without_labels(tmp_path):
    for name in ("a", "b"):
        for number in range(3):
            save(picture(number + 3 * (name == "b")), tmp_path / "x" / name / f"{number}.png")
    save(picture(1), tmp_path / "x/b/copy.png")
    root = [f"data.root={tmp_path / 'root'}"]
    checked = check(f"folder:{tmp_path / 'x'}", overrides=root)
    assert checked.leaks.empty
    assert set(checked.conflicts["name"]) == {"a/1.png"}
    whole = check(f"folder:{tmp_path / 'x'}", unlabelled=True, overrides=root)
    assert whole.conflicts.empty
    assert set(whole.copies["name"]) == {"a/1.png"}


def test_blank_images_are_copies_of_each_other_and_of_nothing_else(tmp_path):
    """They have no direction, so that no cosine distance tells them from others."""
    write_images(tmp_path / "x" / "blank", 3, size=(16, 16))
    for number in range(3):
        save(picture(number, size=16), tmp_path / "x" / "cat" / f"{number}.png")
    checked = check(f"folder:{tmp_path / 'x'}", overrides=[f"data.root={tmp_path / 'root'}"])
    assert checked.conflicts.empty
    assert checked.groups["class"].tolist() == ["blank"] * 3


def test_embeddings_are_compared_in_place_of_thumbnails(pets, tmp_path):
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(11, 5)), rng.normal(size=(6, 5))
    test[3] = 2 * train[7]
    np.save(tmp_path / "train.npy", train)
    np.save(tmp_path / "test.npy", test)
    options = {
        "overrides": [f"data.root={tmp_path / 'root'}"],
        "embeddings": tmp_path / "train.npy",
    }
    checked = check(
        f"folder:{pets}", test_embeddings=tmp_path / "test.npy", max_distance=1e-9, **options
    )
    assert checked.tables.counts["other_split"]["near"] == 1
    np.save(tmp_path / "wide.npy", np.ones((6, 4)))
    with pytest.raises(DataError, match="has 4 columns"):
        check(f"folder:{pets}", test_embeddings=tmp_path / "wide.npy", **options)
    with pytest.raises(ConfigError, match="give --embeddings of the training and --test-embed"):
        check(f"folder:{pets}", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_distance": 2.5}, "cosine distance, 0 to 2"),
        ({"max_distance": float("nan")}, "cosine distance, 0 to 2"),
        ({"hash_bits": 33}, "whole number, 0 to 32"),
        ({"without_leaks": "train"}, "give --out DIR"),
        ({"overrides": ["train.steps=3"]}, "only settings of data"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(pets, options, message):
    with pytest.raises(ConfigError, match=message):
        check(f"folder:{pets}", **options)


def test_a_folder_of_something_else_is_refused(pets, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(RunFolderError, match="not empty"):
        check(f"folder:{pets}", tmp_path / "mine")
    with pytest.raises(ConfigError, match="which is read"):
        check(f"folder:{pets}", pets / "train" / "out")


def test_what_cannot_leak_is_said(tmp_path):
    write_images(tmp_path / "x" / "cat", 2, size=(16, 16))
    with pytest.raises(DataError, match="no test split"):
        check(f"folder:{tmp_path / 'x'}", tmp_path / "out", without_leaks="train")
    assert not (tmp_path / "out").exists()


def test_parquet_and_digits_need_no_test_split(tmp_path):
    buffer = io.BytesIO()
    picture(0).save(buffer, "PNG")
    frame = pd.DataFrame(
        {"image": [{"bytes": buffer.getvalue(), "path": None}] * 3, "label": [0, 0, 1]}
    )
    frame.to_parquet(tmp_path / "x.parquet")
    checked = check(f"parquet:{tmp_path / 'x.parquet'}", overrides=[f"data.root={tmp_path / 'r'}"])
    assert checked.tables.counts["same_class"]["bytes"] == 2
    assert checked.tables.counts["other_class"]["bytes"] == 3


def test_a_study_of_images_that_are_not_in_memory_says_what_bytes_its_splits_share(pets, tmp_path):
    data = Data(root=str(tmp_path), load="stream", image_size=32)
    for name in ("train", "test"):
        shutil.copytree(pets / name, tmp_path / "x" / name)
    with open_store(tmp_path / "run", make=True) as store:
        assert leaks_of(store, load_dataset(f"folder:{tmp_path / 'x'}", data)) == []
        shutil.copy(pets / "train/cat/0.png", tmp_path / "x/test/dog/0.png")
        (note,) = leaks_of(store, load_dataset(f"folder:{tmp_path / 'x'}", data))
    assert note.startswith("1 of 7 test images have the same bytes as a training image")


def test_the_memory_of_a_comparison_is_told_before_it_is_made():
    """As much as is held at a time: thumbnails in float32 and float64, and two float32 factors."""
    digits = load_dataset("digits").splits()
    assert Pictures.bytes_of(digits) == 28 * 64 * (1297 + 500)
    large = {"train": replace(digits["train"], images=np.zeros((1297, 90, 50, 3), np.uint8))}
    assert Pictures.bytes_of(large) == 28 * 32 * 32 * 3 * 1297

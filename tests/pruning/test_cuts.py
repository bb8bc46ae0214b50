"""Where `rayred prune` cuts, and what it says of every image."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from rayred import prune
from rayred.data.listing import one_line
from rayred.errors import ConfigError, RunFolderError
from tests.conftest import rayred_here
from tests.data.examples import write_images
from tests.pruning.examples import cosine_distances
from tests.report.pages import browser_values

pytestmark = pytest.mark.usefixtures("cluster")

CLOSE = 1e-4
"""Spread of the embeddings of the class that has many redundant images."""


@pytest.fixture(scope="module")
def pets(tmp_path_factory) -> Path:
    """Images of two classes, 20 cats that are nearly equal and 10 dogs that are not."""
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    write_images(home / "pets" / "cat", 20, size=(8, 8))
    write_images(home / "pets" / "dog", 10, size=(8, 8))
    cats = np.array([1.0, 0, 0, 0]) + CLOSE * rng.normal(size=(20, 4))
    cats[3] = cats[11]
    np.save(home / "x.npy", np.concatenate([cats, rng.normal(size=(10, 4))]))
    return home


def pruned(home: Path, name: str, *options: object, code: int = 0) -> tuple[Path, str]:
    """Run `rayred prune`; return its folder and what it printed."""
    out = home / name
    done = rayred_here(
        "prune", f"folder:{home / 'pets'}", "--out", out, "--embeddings", home / "x.npy",
        "--set", f"data.root={home / 'root'}", *options,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return out, done.stdout if code == 0 else done.stderr


def test_the_tables_say_what_stands_for_each_image(pets):
    out, printed = pruned(pets, "tables", "--keep", "0.5")
    assert "15 of 30 images are kept" in printed
    kept = np.load(out / "kept.npy")
    table = pq.read_table(out / "groups.parquet").to_pandas()
    distances = cosine_distances(np.load(pets / "x.npy"))
    assert table["row"].tolist() == list(range(30))
    assert np.flatnonzero(table["kept"]).tolist() == kept.tolist()
    for row, one in table.iterrows():
        assert one["representative"] in kept
        assert table["group"][one["representative"]] == one["group"]
        assert abs(one["distance"] - distances[row, one["representative"]]) < 1e-12
        assert one["class"] == Path(one["name"]).parent.name
    assert (out / "kept.txt").read_text().splitlines() == table["name"][kept].tolist()
    with (out / "discarded.csv").open(newline="") as file:
        discarded = list(csv.DictReader(file))
    rows = [int(one["row"]) for one in discarded]
    assert list(discarded[0]) == ["name", "class", "row", "representative", "distance", "group"]
    assert sorted([*rows, *kept]) == list(range(30))
    for one in discarded:
        expected = table.loc[int(one["row"])]
        assert one["name"] == expected["name"]
        assert one["representative"] == table["name"][expected["representative"]]
        assert float(one["distance"]) == pytest.approx(expected["distance"], rel=1e-8)
        assert int(one["group"]) == expected["group"]
    assert json.loads((out / "choice.json").read_text())["keep"] == 0.5
    images = sorted(path.relative_to(out / "images") for path in out.rglob("images/*/*"))
    assert [str(path) for path in images] == sorted((out / "kept.txt").read_text().splitlines())


def test_one_distance_takes_from_the_class_that_has_redundant_images(pets):
    out, _ = pruned(pets, "distance", "--max-distance", "1e-6", "--floor", "3")
    table = pq.read_table(out / "groups.parquet").to_pandas()
    kept = table[table["kept"]].groupby("class").size()
    assert kept.to_dict() == {"cat": 3, "dog": 10}


def test_a_common_height_keeps_the_share_of_all_images(pets):
    out, _ = pruned(pets, "common", "--keep", "0.5", "--allocate", "common")
    table = pq.read_table(out / "groups.parquet").to_pandas()
    kept = table[table["kept"]].groupby("class").size()
    assert kept.to_dict() == {"cat": 5, "dog": 10}


def test_without_a_cut_a_table_says_what_several_would_do(pets):
    out, printed = pruned(pets, "look")
    lines = printed.splitlines()
    assert lines[0].split() == ["cut", "distance", "kept", "discarded", "largest", "group"]
    cuts = [line for line in lines if line.startswith("--keep")]
    assert len(cuts) == 10
    assert cuts[4].split()[:2] == ["--keep", "0.5"]
    assert cuts[4].split()[3:5] == ["15", "15"]
    assert "--allocate common" in cuts[9]
    assert cuts[9].split()[5:7] == ["15", "15"]
    assert "→" in lines[lines.index(cuts[4]) + 1]
    assert lines[-1].startswith("nothing is pruned")
    assert not any((out / name).exists() for name in ("kept.npy", "kept.txt", "images"))


@pytest.mark.parametrize(
    "option", [("--by", "random"), ("--allocate", "common"), ("--representative", "largest")]
)
def test_how_to_choose_goes_with_a_cut(pets, option):
    out, said = pruned(pets, "uncut", *option, code=2)
    assert "go with a cut: give --keep" in said
    assert not out.exists()


def test_a_dry_run_says_what_a_cut_does(pets):
    out, printed = pruned(pets, "dry", "--keep", "0.8", "--dry-run")
    assert "--keep 0.8" in printed
    assert "nothing is pruned" in printed
    assert not (out / "kept.npy").exists()
    assert not (out / "images").exists()


def test_another_cut_has_to_be_asked_for_and_going_back_is_free(pets):
    out, _ = pruned(pets, "again", "--keep", "0.5")
    first = (out / "discarded.csv").read_bytes()
    _, said = pruned(pets, "again", "--max-distance", "0.1", code=2)
    assert "holds another smaller data set (a share of 0.5 of every class is kept;" in said
    assert (out / "discarded.csv").read_bytes() == first
    pruned(pets, "again", "--keep", "0.8", "--update")
    assert len(np.load(out / "kept.npy")) == 24
    assert len(list(out.rglob("images/*/*"))) == 24
    made = set((out / "made").iterdir())
    pruned(pets, "again", "--keep", "0.5", "--update")
    assert (out / "discarded.csv").read_bytes() == first
    assert {path.name for path in (out / "made").iterdir()} >= {path.name for path in made}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep", "0.5", "--max-distance", "0.1"), "not allowed with argument"),
        (("--max-distance", "2.5"), "expected a cosine distance, 0 to 2"),
        (("--max-distance", "nan"), "expected a cosine distance, 0 to 2"),
        (("--max-distance", "0.1", "--allocate", "common"), "a common share goes with keep"),
        (("--keep", "0.5", "--floor", "0"), "expected a whole number of 1 or more"),
        (("--keep", "0.5", "--allocate", "rows"), "invalid choice"),
        (("--keep", "0.5", "--pixels"), "--pixels: not allowed with argument --embeddings"),
    ],
)
def test_cuts_that_cannot_be_made_write_nothing(pets, options, message):
    out, said = pruned(pets, "none", *options, code=2)
    assert message in said
    assert not out.exists()


def test_other_embeddings_of_the_same_images_have_to_be_asked_for(pets, tmp_path):
    folder, root = f"folder:{pets / 'pets'}", [f"data.root={tmp_path / 'root'}"]
    np.save(tmp_path / "other.npy", np.random.default_rng(1).normal(size=(30, 4)))
    first = prune(folder, 0.5, tmp_path / "small", embeddings=pets / "x.npy", overrides=root)
    for space in ({"embeddings": tmp_path / "other.npy"}, {"pixels": True}):
        with pytest.raises(RunFolderError, match="compared by embeddings"):
            prune(folder, 0.5, tmp_path / "small", overrides=root, **space)
    assert np.array_equal(np.load(tmp_path / "small" / "kept.npy"), first.kept)
    options = {"embeddings": tmp_path / "other.npy", "update": True}
    second = prune(folder, 0.5, tmp_path / "small", overrides=root, **options)
    assert np.array_equal(np.load(tmp_path / "small" / "kept.npy"), second.kept)


def test_other_labels_of_the_same_embeddings_have_trees_of_their_own(pets):
    pruned(pets, "labels", "--keep", "0.3", "--unlabelled")
    out, _ = pruned(pets, "labels", "--keep", "0.3", "--update")
    table = pq.read_table(out / "groups.parquet").to_pandas()
    assert table[table["kept"]].groupby("class").size().to_dict() == {"cat": 6, "dog": 3}


def test_the_same_from_python(pets):
    given = {"embeddings": pets / "x.npy", "overrides": [f"data.root={pets / 'root'}"]}
    dataset, out = f"folder:{pets / 'pets'}", pets / "python"
    small = prune(dataset, None, out, max_distance=1e-6, floor=3, **given)
    assert len(small.kept) == small.summary.kept == 13
    assert small.summary.discarded == 17
    assert small.summary.distance <= 1e-6
    assert small.summary.farthest[2] <= small.summary.distance
    assert small.groups["kept"].sum() == 13
    numbers = range(small.n_rows)
    assert list(small.subset(numbers)) == small.kept.tolist()
    table = datasets.Dataset.from_dict({"number": list(numbers)})
    assert small.select(table)["number"][:] == small.kept.tolist()
    for other in (range(29), table.select(range(29))):
        with pytest.raises(ValueError, match="the data set has 29 rows, and 30 were pruned"):
            small.subset(other)
        with pytest.raises(ValueError, match="the data set has 29 rows, and 30 were pruned"):
            small.select(other)
    with pytest.raises(RunFolderError, match="another smaller data set"):
        prune(dataset, 0.5, out, **given)
    with pytest.raises(ConfigError, match="either the share to keep or the largest distance"):
        prune(dataset, None, out, **given)
    with pytest.raises(ConfigError, match="allocate: 'rows': expected class, common"):
        prune(dataset, 0.5, out, allocate="rows", **given)
    with pytest.raises(ConfigError, match="representative: 'first': expected centre, largest, old"):
        prune(dataset, 0.5, out, representative="first", **given)


def test_the_result_can_be_cut_again_without_clustering(pets, tmp_path):
    given = {"embeddings": pets / "x.npy", "overrides": [f"data.root={tmp_path / 'root'}"]}
    folder = f"folder:{pets / 'pets'}"
    small = prune(folder, 0.5, tmp_path / "half", **given)
    again = small.at(keep=0.8)
    direct = prune(folder, 0.8, tmp_path / "direct", **given)
    assert again.kept.tolist() == direct.kept.tolist()
    assert again.groups.equals(direct.groups)
    assert again.summary == direct.summary
    assert again.folder is None
    assert small.duplicate_ratio == 0.5
    assert small.groups.equals(pq.read_table(small.folder / "groups.parquet").to_pandas())
    reach = small.clustered.reach
    close = prune(folder, None, tmp_path / "close", max_distance=reach, **given)
    assert small.at(distance=reach).kept.tolist() == close.kept.tolist()
    assert small.labels(reach).tolist() == close.groups["group"].tolist()
    for wrong in ({"keep": 0.3}, {"distance": 1.9}, {"keep": 0.5, "distance": 0.1}, {}):
        with pytest.raises(ValueError, match=r"the trees|give either"):
            small.at(**wrong)
    page = small._repr_html_()
    assert page.count("<img") == 12
    assert "<b>15</b> of 30 images are kept" in page


def test_the_page_shows_what_goes_and_what_stays_for_it(tmp_path):
    """Names are text, whatever they are."""
    folder = tmp_path / "x" / "<b>cats & dogs"
    write_images(folder, 3, size=(8, 8))
    noise = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    for name in ("a", "b"):
        Image.fromarray(noise).save(folder / f"{name}.png")
    options = {"pixels": True, "overrides": [f"data.root={tmp_path / 'root'}"]}
    small = prune(f"folder:{tmp_path / 'x'}", None, tmp_path / "out", max_distance=0.01, **options)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "2 of 5 images are kept, and 3 are not kept (60.0 %)." in page
    assert "&lt;b&gt;cats &amp; dogs" in page
    assert "<b>cats" not in page
    meta, arrays = browser_values(page)
    assert meta["classes"] == ["<b>cats & dogs"]
    assert sorted(arrays["names"]) == sorted(small.groups["name"])
    assert meta["cut"] == {"mode": "distance", "value": 0.01, "floor": 1}
    assert arrays["merges"].tolist() == [3]
    assert meta["pairs"][0]["count"] == 3
    none = prune(f"folder:{tmp_path / 'x'}", 1.0, tmp_path / "whole", **options)
    assert len(none.kept) == 5
    assert "0 are not kept" in (tmp_path / "whole" / "report.html").read_text()
    assert small.groups["kept"].sum() == 2


def test_names_stay_in_one_line():
    assert one_line("cat/a\nb\r.png") == "cat/a\\nb\\r.png"


def test_renamed_images_have_their_new_names_everywhere(pets):
    out, _ = pruned(pets, "renamed", "--max-distance", "1e-6")
    old, new = (pets / "pets" / "dog" / name for name in ("9.png", "99.png"))
    old.rename(new)
    try:
        pruned(pets, "renamed", "--max-distance", "1e-6")
        names = (out / "kept.txt").read_text().splitlines()
        assert "dog/99.png" in names
        assert "dog/9.png" not in names
        assert sorted(path.name for path in (out / "images" / "dog").iterdir()) == sorted(
            Path(name).name for name in names if name.startswith("dog/")
        )
        scores = pq.read_table(out / "scores.parquet")["name"].to_pylist()
        assert "dog/99.png" in scores
    finally:
        new.rename(old)

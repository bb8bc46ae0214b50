"""`rayred prune --against` what one has, and with the `--reference` of an earlier run."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rayred import prune
from rayred.clustering.cuts import Cut
from rayred.clustering.groups import grow_trees, kept_rows
from rayred.clustering.nearest import Nearest
from rayred.config import Linkage
from rayred.data import load_dataset
from rayred.errors import ConfigError, DataError, RunFolderError
from rayred.pruning.jobs import distances_to_try
from tests.conftest import rayred_here
from tests.faults.snapshots import snapshot
from tests.report.pages import browser_values

pytestmark = pytest.mark.usefixtures("cluster")

COPIES = {"cat/0.jpg": "a/0.png", "cat/1.jpg": "b/2.png", "fox/0.jpg": "b/3.png"}
"""Images of the new set, and of which old one each is a copy; those of the fox are all."""


def picture(rng: np.random.Generator) -> Image.Image:
    blocks = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((40, 40), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """An old set without classes, and a new one with copies of it, and one copy of its own."""
    home, rng = tmp_path_factory.mktemp("home"), np.random.default_rng(0)
    for folder in ("a", "b"):
        (home / "old" / folder).mkdir(parents=True)
        for number in range(6):
            picture(rng).save(home / "old" / folder / f"{number}.png")
    for animal in ("cat", "dog", "fox"):
        (home / "new" / animal).mkdir(parents=True)
    for new, old in COPIES.items():
        Image.open(home / "old" / old).resize((32, 32)).save(home / "new" / new, quality=80)
    for number in range(5):
        picture(rng).save(home / "new" / "cat" / f"own-{number}.png")
        picture(rng).save(home / "new" / "dog" / f"own-{number}.png")
    Image.open(home / "new" / "dog" / "own-2.png").save(home / "new" / "dog" / "twin.jpg")
    return home


def pruned(home: Path, out: Path, *options: object, code: int = 0) -> str:
    done = rayred_here(
        "prune", f"folder:{home / 'new'}", "--out", out, "--set", f"data.root={home / 'root'}",
        *options,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_what_one_has_already_is_not_kept_and_the_match_is_named(home, tmp_path):
    before = snapshot(home / "old") | snapshot(home / "new")
    old, out = f"folder:{home / 'old'}", tmp_path / "small"
    said = pruned(home, out, "--pixels", "--against", old, "--max-distance", "0.01")
    assert f"3 images are in {old} already" in said
    assert "10 of 14 images are kept" in said
    with (out / "known.csv").open(newline="") as file:
        known = {row["name"]: row for row in csv.DictReader(file)}
    assert {name: row["match"] for name, row in known.items()} == COPIES
    assert all(0 < float(row["distance"]) <= 0.01 for row in known.values())
    assert known["fox/0.jpg"]["class"] == "fox"
    discarded = pd.read_csv(out / "discarded.csv")
    assert set(discarded["name"]) < {"dog/own-2.png", "dog/twin.jpg"}
    kept = (out / "kept.txt").read_text().splitlines()
    files = sorted(path for path in (home / "new").rglob("*") if path.is_file())
    names = [str(path.relative_to(home / "new")) for path in files]
    assert [names[row] for row in np.load(out / "kept.npy")] == kept
    assert sorted(kept) == sorted(set(names) - COPIES.keys() - set(discarded["name"]))
    page = (out / "report.html").read_text()
    meta, arrays = browser_values(page)
    assert f"10 of 14 images are kept, 3 are in {old} already, and 1 are not kept" in page
    assert meta["pairs"][1]["title"] == f"In {old} already"
    pairs = [arrays["names"][image] for image in arrays["pairs1"]]
    assert dict(zip(pairs[::2], pairs[1::2], strict=True)) == COPIES
    # Another cut, without the old set: its table goes.
    pruned(home, out, "--pixels", "--max-distance", "0.01", code=2)
    pruned(home, out, "--pixels", "--max-distance", "0.01", "--update")
    assert not (out / "known.csv").exists()
    assert len(np.load(out / "kept.npy")) == 13
    assert snapshot(home / "old") | snapshot(home / "new") == before


def test_without_a_cut_a_table_says_what_several_distances_would_do(home, tmp_path):
    said = pruned(home, tmp_path / "small", "--pixels", "--against", f"folder:{home / 'old'}")
    head, *lines = said.splitlines()
    assert head.split()[:5] == ["cut", "distance", "kept", "known", "discarded"]
    cuts = [line.split() for line in lines if line.startswith("--max-distance")]
    assert [int(cut[4]) for cut in cuts] == [1, 3, 4, 7]
    assert float(cuts[1][1]) < 0.01 < float(cuts[2][1])
    pairs = [line.split() for line in lines if "→" in line]
    assert {pair[0] for pair in pairs[:2]} <= COPIES.keys()
    assert all(pair[2].rstrip(",") == COPIES[pair[0]] for pair in pairs[:2])


def test_distances_to_try_leave_shares_and_have_three_digits():
    nearest = Nearest(np.zeros(10, int), np.array([0, 0, 0.012341, 1, 1.1, 1.2, 1.3, 1.4, 1.5, 2]))
    assert distances_to_try(nearest) == [0.0, 0.0124, 1.1]


def test_embeddings_are_compared_with_embeddings(tmp_path):
    rng = np.random.default_rng(0)
    labels = load_dataset("digits").train.labels
    x, old = rng.normal(size=(len(labels), 5)), rng.normal(size=(300, 5))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "old.npy", old)
    unit, theirs = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, old))
    distances = 1 - unit @ theirs.T
    rest = np.flatnonzero(distances.min(1) > 0.05)
    small = prune(
        "digits", None, tmp_path / "small", max_distance=0.05, embeddings=tmp_path / "x.npy",
        against=str(tmp_path / "old.npy"),
    )  # fmt: skip
    assert 100 < len(rest) < 1200
    assert small.known["row"].tolist() == np.setdiff1d(np.arange(len(x)), rest).tolist()
    expected = [f"row {row}" for row in distances.argmin(1)[small.known["row"]]]
    assert small.known["match"].tolist() == expected
    assert small.groups["row"].tolist() == rest.tolist()
    assert small.n_rows == len(x)
    assert small.n_images == len(small.kept) + small.summary.discarded + len(small.known)
    with pytest.raises(ValueError, match="prune again"):
        small.at(distance=0.01)
    trees = grow_trees(x[rest], labels[rest], 1 / len(rest), Linkage(), max_distance=0.05)
    (kept,) = kept_rows(x[rest], trees, [Cut(max_distance=0.05).counts(trees)], Linkage())
    assert small.kept.tolist() == rest[kept].tolist()


def test_the_reference_of_an_earlier_run_makes_the_embeddings(finished, tmp_path):
    run = finished[0]
    small = prune("digits", 0.5, tmp_path / "small", reference=run)
    found, expected = (np.load(one / "embeddings.npy") for one in (tmp_path / "small", run))
    assert found == pytest.approx(expected, abs=1e-5)
    assert not (tmp_path / "small" / "reference.pt").exists()
    assert "resnet8 with weights" in small.chosen.choice.space
    with pytest.raises(DataError, match="digits has all 1,297 images already"):
        prune("digits", None, tmp_path / "none", max_distance=1e-6, reference=run, against="digits")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"keep": 0.5, "against": "digits"}, ConfigError, "give --max-distance"),
        ({"against": "x.npy", "pixels": True}, ConfigError, "embeddings are compared with"),
        ({"against": "digits", "embeddings": "x.npy"}, ConfigError, "embeddings are compared with"),
        ({"against": "folder:old", "out": "old/small", "pixels": True}, ConfigError, "lies in"),
        ({"against": "x.npy", "embeddings": "y.npy"}, DataError, "4 columns, where there are 5"),
        (
            {"against": "z.npy", "embeddings": "y.npy"},
            DataError,
            "z.npy: embedding 1 has a value",
        ),
        ({"reference": "old", "keep": 0.5}, RunFolderError, "no run folder"),
        ({"reference": "old", "pixels": True, "keep": 0.5}, ConfigError, "give one of embeddings"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, monkeypatch, options, error, message):
    monkeypatch.chdir(tmp_path)
    Path("old").mkdir()
    np.save("x.npy", np.ones((3, 4)))
    np.save("z.npy", np.array([[1.0] * 5, [np.inf] * 5]))
    np.save("y.npy", np.random.default_rng(0).normal(size=(1297, 5)))
    given = {"keep": None, "out": "small", **options}
    if given["keep"] is None:
        given["max_distance"] = 0.1
    for name in ("embeddings", "reference"):
        if name in given:
            given[name] = Path(given[name])
    with pytest.raises(error, match=message):
        prune("digits", given.pop("keep"), given.pop("out"), **given)
    assert not list(Path().rglob("kept.npy"))


def test_images_that_the_reference_does_not_take_are_refused(home, finished, tmp_path):
    with pytest.raises(ConfigError, match="have 8 × 8 pixels in colour, and resnet8 takes 8"):
        prune(f"folder:{home / 'new'}", 0.5, tmp_path / "small", reference=finished[0])

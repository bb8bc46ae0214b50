"""`rayred prune --edited`: exactly what a person chose is kept."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver

from rayred import prune
from rayred.data import load_dataset, load_train_split
from rayred.data.dataset import Split
from rayred.errors import ConfigError, DataError, RunFolderError
from rayred.pruning.edited import read_edited
from tests.conftest import rayred_here
from tests.data.examples import write_images
from tests.faults.snapshots import snapshot
from tests.report.pages import Page


@pytest.fixture(scope="module")
def digits() -> Split:
    return load_dataset("digits").train


def test_what_is_changed_on_the_page_is_what_is_kept(
    cluster,  # noqa: ARG001
    browser: webdriver.Chrome,
    tmp_path: Path,
    digits: Split,
):
    out = tmp_path / "small"
    prune("digits", 0.7, out, pixels=True)
    page = Page(browser, out / "report.html", tmp_path / "downloads")
    assert page.kept() == (out / "kept.txt").read_text().splitlines()
    gone = [image for image, state in page.thumbs() if state == "gone"]
    for image, button in zip(
        gone, ("Keep this one instead (k)", "Keep this one too"), strict=False
    ):
        page.press(f".list .thumb[data-image='{image}']")
        page.click(button)
    kept = page.kept()
    assert kept != (out / "kept.txt").read_text().splitlines()
    page.download("discarded.csv")
    for name in ("discarded.csv", "kept.txt"):
        done = rayred_here(
            "prune", "digits", "--pixels", "--edited", tmp_path / "downloads" / name,
            "--out", out, "--update",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert (out / "kept.txt").read_text().splitlines() == kept
    assert np.load(out / "kept.npy").tolist() == [
        int(row) for name, row in zip(digits.names, digits.rows, strict=True) if name in set(kept)
    ]
    table = list(csv.DictReader((out / "discarded.csv").open()))
    assert {line["representative"] for line in table} <= set(kept)
    again = Page(browser, out / "report.html", tmp_path / "again")
    assert again.kept() == kept
    assert "a person chose" in again.run("return document.body.textContent")


def test_the_images_of_a_folder_go_with_it_and_their_source_stays(cluster, tmp_path):  # noqa: ARG001
    pets = tmp_path / "pets"
    for name in ("cat", "dog"):
        write_images(pets / name, 4, size=(8, 8))
    before = snapshot(pets)
    chosen = tmp_path / "chosen.txt"
    chosen.write_text("cat/1.png\r\ndog/0.png\r\ndog/3.png\r\n")
    small = prune(f"folder:{pets}", None, tmp_path / "small", edited=chosen, pixels=True)
    found = sorted(str(p.relative_to(small.folder)) for p in small.folder.glob("images/*/*"))
    assert found == ["images/cat/1.png", "images/dog/0.png", "images/dog/3.png"]
    assert small.summary.kept == 3
    assert snapshot(pets) == before
    with pytest.raises(RunFolderError, match="a person chose"):
        prune(f"folder:{pets}", 0.5, tmp_path / "small", pixels=True)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("kept.txt", "digit 0\nnobody\n", "'nobody' is no image of the data set"),
        ("kept.txt", "{first}\n{first}\n", "is there twice"),
        ("kept.txt", "{first}\n", "keeps no image of class"),
        ("kept.txt", "", "keeps no image of class '0'"),
        ("discarded.csv", "name\nx\n", "has no column 'row'"),
        ("discarded.csv", "row\n99999\n", "line 2: row '99999' is no image"),
        ("discarded.csv", "row\n-1\n", "line 2: row '-1' is no image"),
        ("discarded.csv", "row\n\n1.5\n", "row '1.5' is no image"),
        ("discarded.csv", "name,row\nsomebody,{row}\n", "the table is of another data set"),
    ],
)
def test_files_of_other_images_are_refused(tmp_path, digits, name, text, said):
    file = tmp_path / name
    file.write_text(text.format(first=digits.names[0], row=digits.rows[0]))
    if "digit 0" in text:
        file.write_text(text.replace("digit 0", digits.names[0]))
    with pytest.raises(DataError, match=said):
        read_edited(file, digits)


def test_rows_in_any_form_are_read(tmp_path, digits):
    wanted = np.arange(0, len(digits), 2)
    rows, names = digits.rows[wanted], [digits.names[image] for image in wanted]
    np.save(tmp_path / "kept.npy", rows[::-1])
    (tmp_path / "kept.txt").write_text("\ufeff" + "\n".join(reversed(names)))
    gone = np.setdiff1d(np.arange(len(digits)), wanted)
    lines = "".join(f"{digits.rows[image]},x\n" for image in gone)
    (tmp_path / "discarded.csv").write_text(f"row,why\n{lines}")
    for name in ("kept.npy", "kept.txt", "discarded.csv"):
        assert np.array_equal(read_edited(tmp_path / name, digits), wanted)


def test_names_that_two_images_share_need_their_rows(tmp_path):
    pixels = np.zeros((3, 2, 2, 1), np.uint8)
    split = Split(pixels, np.zeros(3, np.int64), ["a", "a", "b\nc"], ("x",))
    (tmp_path / "kept.txt").write_text("a\n")
    with pytest.raises(DataError, match="2 images are named 'a'"):
        read_edited(tmp_path / "kept.txt", split)
    (tmp_path / "kept.txt").write_text("b\\nc\n")
    assert read_edited(tmp_path / "kept.txt", split).tolist() == [2]
    (tmp_path / "discarded.csv").write_text('name,row\na,1\n"b\\nc",2\n')
    assert read_edited(tmp_path / "discarded.csv", split).tolist() == [0]


def test_a_missing_file_and_options_that_do_not_go_with_it_are_refused(tmp_path, digits):
    file = tmp_path / "kept.txt"
    with pytest.raises(DataError, match="cannot be read"):
        read_edited(file, digits)
    file.write_text("\n".join(digits.names))
    for options in ({"by": "random"}, {"floor": 2}, {"representative": "largest"}):
        with pytest.raises(ConfigError, match="--edited says itself"):
            prune("digits", None, tmp_path / "out", edited=file, pixels=True, **options)
    for cut in ({"keep": 0.5}, {"keep": None, "max_distance": 0.1}):
        with pytest.raises(ConfigError, match="in place of"):
            prune("digits", out=tmp_path / "out", edited=file, pixels=True, **cut)
    with pytest.raises(ConfigError, match=r"kept\.txt"):
        prune("digits", None, tmp_path, edited=file, pixels=True)
    assert not (tmp_path / "out").exists()
    assert len(load_train_split("digits")) == len(digits)


def test_a_table_that_no_reader_takes_is_refused(tmp_path, digits):
    file = tmp_path / "discarded.csv"
    file.write_text("row,why\n0," + "x" * 200_000 + "\n")
    with pytest.raises(DataError, match="is no table that can be read"):
        read_edited(file, digits)
    file.write_text("row\n" + "9" * 5000 + "\n")
    with pytest.raises(DataError, match="is no image of the data set"):
        read_edited(file, digits)

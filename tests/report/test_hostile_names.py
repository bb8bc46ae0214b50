"""Names that would be markup, script or other lines elsewhere are text in the page."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver

from rayred.clustering.cuts import Cut
from rayred.clustering.exploring import explore
from rayred.clustering.groups import grow_trees
from rayred.config import Linkage
from rayred.data.dataset import Split
from rayred.report.browser.content import Album, Content, Pairs, Part
from tests.report.pages import Page, write_browser_page

NAMES = (
    "<script>document.title = 'run'</script>.png",
    "</script><img src=x onerror=\"document.title='run'\">.png",
    '"quoted", and, commas\'.png',
    "two\nlines\r.png",
    "\u202efdp.gnp",
    "{{ 7 * 7 }}${7}`.png",
    "\u2028line\u2029end.png",
    "&lt;b&gt;.png",
)
CLASSES = ("<b>cat</b>", "dog\n</td>")


@pytest.fixture
def images() -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    return Split(pixels, np.array([0, 0, 0, 0, 1, 1, 1, 1]), NAMES, CLASSES)


@pytest.fixture
def page(browser: webdriver.Chrome, images: Split, tmp_path: Path) -> Page:
    x = np.random.default_rng(1).normal(size=(8, 3))
    trees = grow_trees(x, images.labels, 0.25, Linkage())
    album = Album((Part("train", images, np.arange(8)),))
    pairs = Pairs("<i>Alike</i>", "<i>note</i>", np.array([[0, 1], [3, 6]]), ["<i>a</i>", "b"], 2)
    content = Content(album, explore(x, trees), Cut(keep=0.5), pairs=[pairs])
    return Page(browser, write_browser_page(tmp_path / "report.html", content), tmp_path)


def test_names_are_shown_as_text(page):
    seen = set()
    for tab in ("groups", "pairs0", "classes", "map"):
        page.all(f"#tab-{tab}")[0].click()
        if tab in ("groups", "pairs0"):
            for image, _ in page.thumbs():
                page.press(f".list .thumb[data-image='{image}']")
                assert (
                    page.run("return document.querySelector('.detail h3').textContent")
                    == (NAMES[image])
                )
                seen.add(image)
    assert len(seen) >= 6
    assert page.browser.title == "pets – rayred"
    assert page.run("return document.querySelectorAll('#rayred-browser b, i, td img').length") == (
        len(page.all(".side b, .near b"))
    )
    assert page.errors() == []
    assert page.requests() == []


def test_names_are_one_line_each_in_files(page):
    page.cut("class", 25)
    lines = page.kept()
    assert len(lines) == 2
    table = list(csv.DictReader(io.StringIO(page.download("discarded.csv"), newline="")))
    one_line = [name.replace("\n", "\\n").replace("\r", "\\r") for name in NAMES]
    assert sorted([row["name"] for row in table] + lines) == sorted(one_line)


def test_no_script_but_the_pages_own_can_run(page):
    page.run(
        "const s = document.createElement('script'); s.textContent = \"document.title = 'run'\";"
        " document.body.append(s);"
        " const i = document.createElement('img'); i.src = 'http://127.0.0.1:9/x.png';"
        " document.body.append(i)"
    )
    assert page.browser.title == "pets – rayred"
    said = " ".join(page.errors())
    assert "script-src" in said
    assert "img-src" in said

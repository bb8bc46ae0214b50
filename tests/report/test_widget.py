"""The browser in notebooks: the widget's values, and its module as a notebook's page loads it."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver

from rayred.clustering.cuts import Cut
from rayred.clustering.exploring import explore
from rayred.clustering.groups import grow_trees
from rayred.config import Linkage
from rayred.data.dataset import Split
from rayred.errors import ConfigError
from rayred.report.browser.content import Album, Content, Part, pack
from rayred.report.browser.widget import widget
from tests.report.pages import Page

HOST = """<!doctype html><meta charset="utf-8"><body><div id="rayred-browser"></div>
<script type="module">
const values = VALUES;
const view = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const traits = { meta: values.meta, data: view(values.data), sheets: values.sheets.map(view) };
const file = new Blob([values.esm], { type: "text/javascript" });
const module = await import(URL.createObjectURL(file));
const style = document.createElement("style");
style.textContent = values.css;
document.head.append(style);
const el = document.getElementById("rayred-browser");
globalThis.cleanup = await module.default.render({ model: { get: (name) => traits[name] }, el });
</script>
"""


@pytest.fixture
def content() -> Content:
    rng = np.random.default_rng(0)
    names = [f"image {n}" for n in range(20)]
    split = Split(
        rng.integers(0, 256, (20, 8, 12, 3), np.uint8), np.arange(20) % 2, names, ("a", "b")
    )
    x = rng.normal(size=(20, 4))
    exploration = explore(x, grow_trees(x, split.labels, 0.3, Linkage()))
    return Content(Album((Part("train", split, np.arange(20)),)), exploration, Cut(keep=0.5))


def test_the_widget_has_what_a_page_has(content):
    made, packed = widget(content), pack(content)
    assert made.meta == packed.meta
    assert made.data == packed.data
    assert tuple(made.sheets) == packed.sheets


def test_its_module_is_drawn_in_a_page_of_another_program(
    browser: webdriver.Chrome, content: Content, tmp_path: Path
):
    made = widget(content)
    values = {
        "meta": made.meta,
        "data": base64.b64encode(made.data).decode(),
        "sheets": [base64.b64encode(sheet).decode() for sheet in made.sheets],
        "esm": str(made._esm),
        "css": str(made._css),
    }
    file = tmp_path / "host.html"
    file.write_text(HOST.replace("VALUES", json.dumps(values).replace("<", "\\u003c")))
    page = Page(browser, file, tmp_path)
    assert page.text(".summary").startswith("10 of 20 images are kept")
    assert page.thumbs()
    page.run("cleanup()")
    assert page.errors() == []


def test_a_missing_package_is_named(content, monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ConfigError, match=r"rayred\[notebook\]"):
        widget(content)

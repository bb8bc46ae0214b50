"""Pages with the group browser, and how a test uses them as a person does."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from selenium import webdriver
from selenium.webdriver.common.by import By

from rayred.report.browser.content import Content, pack
from rayred.report.page import write_page
from rayred.verdict import Cell, Verdict
from tests.chromium import downloaded, wait_for


def write_browser_page(path: Path, content: Content) -> Path:
    """A report whose group browser shows some content."""
    cells = (Cell("full", 1.0, 10, 2, 0, 90.0, 0.5, (89.0, 91.0)),)
    verdict = Verdict(0.25, "Nothing is redundant.", None, cells)
    write_page(path, "pets", {}, verdict, [], [], None, "x: 1", (), pack(content))
    return path


class Page:
    """A page, once its browser is drawn."""

    def __init__(self, browser: webdriver.Chrome, path: Path, downloads: Path) -> None:
        self.browser, self.downloads = browser, downloads
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(path.as_uri())
        wait_for(browser, lambda _: self.all("#rayred-browser[data-ready]"))

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *values: Any) -> Any:
        return self.browser.execute_script(script, *values)

    def set(self, selector: str, value: object, event: str = "change") -> None:
        """Give a field a value, as typing and leaving it does."""
        self.run(
            "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
            " field.dispatchEvent(new Event(arguments[2], { bubbles: true }))",
            selector, str(value), event,
        )  # fmt: skip

    def cut(self, mode: str, value: float) -> None:
        self.set(".cut select", mode)
        self.set(".cut input[type=number]", value)

    def click(self, text: str) -> None:
        next(b for b in self.all("#rayred-browser button") if b.text == text).click()

    def press(self, selector: str, place: int = 0) -> None:
        """Click one of the elements once it is there, though it may be drawn anew meanwhile."""
        script = """
          const element = document.querySelectorAll(arguments[0])[arguments[1]];
          element?.click();
          return Boolean(element);
        """
        wait_for(self.browser, lambda _: self.run(script, selector, place))

    def text(self, selector: str) -> str:
        return str(self.all(selector)[0].text)

    def thumbs(self) -> list[tuple[int, str]]:
        """Image and state of the small images of the list in sight, once there are some."""
        script = """
          const thumbs = [...document.querySelectorAll(".list .thumb")];
          return thumbs.map((thumb) => [Number(thumb.dataset.image), thumb.classList[1]]);
        """
        return [
            (image, state) for image, state in wait_for(self.browser, lambda _: self.run(script))
        ]

    def download(self, name: str) -> str:
        file = downloaded(
            self.browser, self.downloads, name, lambda: self.click(f"Download {name}")
        )
        return file.read_text(encoding="utf-8")

    def kept(self) -> list[str]:
        return self.download("kept.txt").splitlines()

    def requests(self) -> list[str]:
        """Addresses of all requests but the page's own, and what is in it."""
        found = []
        for entry in self.browser.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return [one for one in found if not one.startswith(("data:", "blob:"))][1:]

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]


def browser_values(page: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plain values and arrays of the group browser in the text of a page."""
    meta = json.loads(re.search(r'id="rayred-meta">(.*?)</script>', page)[1])
    data = gzip.decompress(base64.b64decode(re.search(r'id="rayred-data">(.*?)</script>', page)[1]))
    arrays = {
        name: np.frombuffer(data, kind, length, offset)
        for name, (kind, offset, length) in meta["arrays"].items()
    }
    return meta, arrays | {"names": json.loads(arrays["names"].tobytes())}

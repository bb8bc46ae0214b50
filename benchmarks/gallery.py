"""Make docs/gallery.md: the pages and figures of some studies, as pictures.

    python -m benchmarks.gallery "Digits=runs/digits" "My photographs=small"

Each argument is a title and a folder with a report.html; a sentence about it may follow the folder
after a second "=". The pages are opened in Chromium (chromium and chromedriver on the path), wide
and on a phone, light and dark; the figures are those in the page, with their captions.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images" / "gallery"
PAGE = ROOT / "docs" / "gallery.md"
HEAD = """# Gallery

What rayred draws, as it is: reports in a browser and the figures in them. Made by
`python -m benchmarks.gallery` from finished folders.
"""
COLORS = 128
"""Colours of a picture of a page, so that the files are small."""
FIGURE = re.compile(
    r'<figure><img alt="([^"]*)"[^>]*src="data:image/png;base64,([^"]*)">'
    r"<figcaption>(.*?)</figcaption></figure>",
    re.DOTALL,
)
READY = "return document.querySelector('#rayred-browser')?.dataset.ready"
TO_BROWSER = "document.querySelector('#rayred-browser').scrollIntoView()"


@dataclass(frozen=True)
class View:
    """A picture of a page."""

    name: str
    caption: str
    width: int
    """Pixels."""
    height: int
    scheme: str = "light"
    script: str = ""
    """What a person does first."""


CLICK = "document.querySelectorAll('.list .thumb')[1]?.click()"
VIEWS = (
    View("top", "The answer on top.", 1400, 900),
    View("groups", "The group browser.", 1400, 900, script=f"{TO_BROWSER}; {CLICK}"),
    View(
        "map",
        "The map of a class, dark.",
        1400,
        900,
        "dark",
        f"document.querySelector('#tab-map')?.click(); {TO_BROWSER}",
    ),
    View("phone", "On a phone.", 400, 900, script=TO_BROWSER),
)


def main() -> None:
    """Make the gallery."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("studies", nargs="+", metavar="TITLE=DIR[=SENTENCE]")
    given = parser.parse_args().studies
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    parts = [HEAD]
    for one in given:
        title, folder, *sentence = one.split("=", 2)
        parts.append(_part(title, Path(folder) / "report.html", "".join(sentence)))
    PAGE.write_text("\n".join(parts))


def _part(title: str, page: Path, sentence: str) -> str:
    """Make the pictures of a page, and return its part of the gallery."""
    name = re.sub(r"\W+", "-", title.lower()).strip("-")
    lines = [f"## {title}\n"] + ([f"{sentence}\n"] if sentence else [])
    for view in VIEWS:
        file = PICTURES / f"{name}-{view.name}.png"
        _small(_photographed(page, view)).save(file, optimize=True)
        lines.append(f"![{view.caption}](images/gallery/{file.name})\n\n*{view.caption}*\n")
    for number, (figure, data, caption) in enumerate(FIGURE.findall(page.read_text())):
        file = PICTURES / f"{name}-figure-{number}.png"
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        _small(image.resize((image.width // 2, image.height // 2))).save(file, optimize=True)
        lines.append(f"![{figure}](images/gallery/{file.name})\n\n{html.unescape(caption)}\n")
    return "\n".join(lines)


def _small(image: Image.Image) -> Image.Image:
    return image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)


def _photographed(page: Path, view: View) -> Image.Image:
    """Return a picture of a page once its browser is drawn and a person has done something."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        screen = {"width": view.width, "height": view.height, "deviceScaleFactor": 1}
        settings = screen | {"mobile": view.width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", settings)
        scheme = {"features": [{"name": "prefers-color-scheme", "value": view.scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        driver.get(page.absolute().as_uri())
        WebDriverWait(driver, 60).until(lambda here: here.execute_script(READY))
        driver.execute_script(view.script)
        drawn = "return document.querySelector('canvas[data-drawn], .map:not([hidden])') !== null"
        WebDriverWait(driver, 60).until(lambda here: here.execute_script(drawn))
        return Image.open(io.BytesIO(driver.get_screenshot_as_png()))
    finally:
        driver.quit()


if __name__ == "__main__":
    main()

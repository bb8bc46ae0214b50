"""A real browser, where there is one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    NoSuchFrameException,
    NoSuchWindowException,
    StaleElementReferenceException,
)
from selenium.webdriver.support.ui import WebDriverWait

SECONDS = 60
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--window-size=1800,1000",
)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """Start a browser; the test is skipped where there is none."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("no chromium and chromedriver here")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def wait_for(browser: webdriver.Chrome, seen: Callable[[webdriver.Chrome], Any]) -> Any:
    ignored = [StaleElementReferenceException, NoSuchFrameException, NoSuchWindowException]
    return WebDriverWait(browser, SECONDS, ignored_exceptions=ignored).until(seen)


def downloaded(
    browser: webdriver.Chrome, folder: Path, name: str, start: Callable[[], Any]
) -> Path:
    """Return the file that a click downloads."""
    folder.mkdir(exist_ok=True)
    settings = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Page.setDownloadBehavior", settings)
    file = folder / name
    file.unlink(missing_ok=True)
    start()
    until = time.monotonic() + SECONDS
    while not file.exists() or list(folder.glob("*.crdownload")):
        assert time.monotonic() < until, f"{name} was not downloaded"
        time.sleep(0.05)
    return file

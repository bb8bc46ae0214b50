"""MLflow's pages, as a person sees them: in a real browser where there is one."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.chromium import wait_for
from tests.conftest import descendants


@pytest.fixture(scope="module")
def page(finished: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that `rayred ui` prints for a finished study, while it serves."""
    folder = tmp_path_factory.mktemp("ui") / "run"
    shutil.copytree(finished[0], folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "rayred", "ui", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ui:
        assert ui.stdout is not None
        line = ui.stdout.readline()
        address = re.search(rf"http://127\.0\.0\.1:{port}/#/experiments/\d+/runs\?\S+", line)
        assert address, line
        yield address.group()
        served = descendants(ui.pid)
        ui.terminate()
        assert ui.wait(timeout=30) == 143
        assert served
        assert not [pid for pid in served if Path(f"/proc/{pid}").exists()]


def run_names(browser: webdriver.Chrome) -> list[str]:
    links = browser.find_elements(By.CSS_SELECTOR, "a[href*='/runs/']")
    return [link.text for link in links if link.text]


def expand(browser: webdriver.Chrome) -> None:
    """Show the runs below the first one."""
    browser.find_element(By.CSS_SELECTOR, ".ag-row [col-id*='Run Name'] button").click()


def test_ui_answers_on_loopback_alone(page):
    with urllib.request.urlopen(page, timeout=10) as answer:
        assert b"MLflow" in answer.read()
    port = int(re.search(r":(\d+)/", page).group(1))
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    for address in others - {"127.0.0.1", "127.0.1.1"}:
        with socket.socket() as probe:
            assert probe.connect_ex((address, port)) != 0


def test_the_page_shows_the_study_its_trials_below_it_and_the_columns_one_wants(page, browser):
    browser.get(page)
    assert wait_for(browser, run_names) == ["tiny"]
    headers = browser.find_elements(By.CSS_SELECTOR, "[role=columnheader]")
    titles = {header.text for header in headers}
    assert {"Duration", "test_accuracy", "selector", "fraction"} <= titles
    assert "Source" not in titles
    expand(browser)
    wait_for(browser, lambda b: len(run_names(b)) == 7)
    assert run_names(browser)[0] == "tiny"
    assert "semantic-0.5-1" in run_names(browser)


def test_runs_are_filtered_by_selector(page, browser):
    browser.get(page)
    wait_for(browser, run_names)
    search = browser.find_element(By.CSS_SELECTOR, "input[placeholder*='metrics.rmse']")
    search.send_keys("params.selector = 'semantic'", Keys.ENTER)
    wait_for(browser, lambda b: "3 matching runs" in b.find_element(By.TAG_NAME, "body").text)
    if run_names(browser) == ["tiny"]:
        expand(browser)
    found = ["semantic-0.5-0", "semantic-0.5-1", "tiny"]
    wait_for(browser, lambda b: sorted(run_names(b)) == found)


def test_the_figures_are_shown_with_the_study(page, browser):
    browser.get(page)
    wait_for(browser, run_names)
    link = browser.find_element(By.CSS_SELECTOR, "a[href*='/runs/']").get_attribute("href")
    browser.get(f"{link}/artifacts/figures/accuracy.png")
    shown = (
        "return [...document.images].some(i => i.src.startsWith('blob:') && i.naturalWidth > 400)"
    )
    wait_for(browser, lambda b: b.execute_script(shown))
    assert "figures/accuracy.png" in browser.find_element(By.TAG_NAME, "body").text

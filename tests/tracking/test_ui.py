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
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from rayred.tracking.client import create_store
from tests.chromium import wait_for
from tests.conftest import descendants
from tests.tracking.studies import Study

OTHER = {("full", 1.0): 0.97, ("semantic", 0.7): 0.969, ("semantic", 0.5): 0.968}


@pytest.fixture(scope="module")
def page(finished: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that `rayred ui` prints for a finished study, while it serves that and another.

    The other is sent to the server that `rayred ui` has started.
    """
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
        other = Study(folder.parent / "other", "other", OTHER, {"model": "resnet20"})
        assert other.log(root_of(address.group())).failure is None
        yield address.group()
        served = descendants(ui.pid)
        ui.terminate()
        assert ui.wait(timeout=30) == 143
        assert served
        assert not [pid for pid in served if Path(f"/proc/{pid}").exists()]


def root_of(page: str) -> str:
    return page.partition("/#")[0]


def run_of(page: str, name: str) -> Any:
    """What the server has of a study's run."""
    client = create_store(root_of(page))
    number = client.get_experiment_by_name("rayred").experiment_id
    return client.search_runs([number], f"attributes.run_name = '{name}'")[0]


def address_of(page: str, name: str, tab: str = "") -> str:
    info = run_of(page, name).info
    return f"{root_of(page)}/#/experiments/{info.experiment_id}/runs/{info.run_id}{tab}"


def open_list(browser: webdriver.Chrome, page: str) -> None:
    """Open the list anew, with both studies and without what lies beside it."""
    browser.get("about:blank")
    browser.get(page)
    wait_for(browser, lambda b: sorted(run_names(b)) == ["other", "tiny"])


def run_names(browser: webdriver.Chrome) -> list[str]:
    links = browser.find_elements(By.CSS_SELECTOR, "a[href*='/runs/']")
    return [link.text for link in links if link.text]


def text_of(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "body").text


def expand(browser: webdriver.Chrome, name: str) -> None:
    """Show the runs below a study."""
    for row in browser.find_elements(By.CSS_SELECTOR, ".ag-row"):
        if name in run_names_in(row):
            row.find_element(By.CSS_SELECTOR, "[col-id*='Run Name'] button").click()


def run_names_in(row: Any) -> list[str]:
    return [link.text for link in row.find_elements(By.CSS_SELECTOR, "a[href*='/runs/']")]


def cells(browser: webdriver.Chrome) -> dict[str, dict[str, str]]:
    """The values of the list by the name of the run and the column."""
    script = """
        const rows = {}, names = {};
        for (const cell of document.querySelectorAll('.ag-row [role=gridcell]')) {
            const row = cell.closest('.ag-row').getAttribute('row-id');
            const column = cell.getAttribute('col-id');
            const link = cell.querySelector("a[href*='/runs/']");
            if (column.includes('Run Name') && link) names[row] = link.innerText;
            (rows[row] ??= {})[column.replace(/.*`(.*)`/, '$1')] = cell.innerText;
        }
        return Object.fromEntries(Object.entries(names).map(([row, name]) => [name, rows[row]]));
    """
    found: dict[str, dict[str, str]] = browser.execute_script(script)
    return found


def search(browser: webdriver.Chrome, text: str) -> None:
    field = browser.find_element(By.CSS_SELECTOR, "input[placeholder*='metrics.rmse']")
    field.send_keys(text, Keys.ENTER)


def drawn(browser: webdriver.Chrome, metric: str) -> dict[str, list[list[float]]]:
    """The chart of a metric: steps and values of the line of each run, by its name."""
    script = """
        const lines = [...document.querySelectorAll('.js-plotly-plot')]
            .flatMap(plot => plot.data ?? [])
            .filter(line => line.metricKey == arguments[0] && line.x?.length);
        return Object.fromEntries(lines.map(line => [line.name, [[...line.x], [...line.y]]]));
    """
    found: dict[str, list[list[float]]] = browser.execute_script(script, metric)
    return found


def test_ui_answers_on_loopback_alone(page):
    with urllib.request.urlopen(page, timeout=10) as answer:
        assert b"MLflow" in answer.read()
    port = int(re.search(r":(\d+)/", page).group(1))
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    for address in others - {"127.0.0.1", "127.0.1.1"}:
        with socket.socket() as probe:
            assert probe.connect_ex((address, port)) != 0


def test_the_list_shows_the_result_of_studies_and_of_the_trials_below_them(page, browser):
    open_list(browser, page)
    headers = browser.find_elements(By.CSS_SELECTOR, "[role=columnheader]")
    assert "Source" not in {header.text for header in headers}
    other = {
        "redundant_percent": "50",
        "accuracy_full": "0.97",
        "dataset": "digits",
        "model": "resnet20",
        "fraction": "1.0, 0.7, 0.5",
        "n_train": "1000",
        "selector": "full, semantic",
    }
    shown = wait_for(browser, lambda b: cells(b).get("other", {}).get("selector") and cells(b))
    assert {name: shown["other"][name] for name in other} == other
    assert shown["tiny"]["accuracy_full"].startswith("0.")
    expand(browser, "tiny")
    wait_for(browser, lambda b: len(run_names(b)) == 2 + 6)
    trial = wait_for(browser, lambda b: cells(b).get("semantic-0.5-01"))
    assert trial["test_accuracy"].startswith("0.")
    facts = ("dataset", "model", "selector", "fraction")
    assert [trial[name] for name in facts] == ["digits", "resnet8", "semantic", "0.5"]
    assert trial["accuracy_full"] == trial["redundant_percent"] == "-"


def test_runs_are_filtered_by_selector_and_grouped(page, browser):
    open_list(browser, page)
    search(browser, "params.fraction = '0.5'")
    wait_for(browser, lambda b: "matching runs" in text_of(b) and "test_accuracy" in text_of(b))
    wait_for(browser, lambda b: re.search(r"\b9 matching runs", text_of(b)))
    button(browser, "Group by").click()
    choice = "[role=menuitemcheckbox], [role=menuitem]"
    wait_for(browser, lambda b: b.find_elements(By.CSS_SELECTOR, choice))
    entries = browser.find_elements(By.CSS_SELECTOR, choice)
    [entry for entry in entries if entry.text.strip() == "selector"][-1].click()
    wait_for(browser, lambda b: "Group: semantic" in text_of(b))
    assert "Group: random" in text_of(browser)


def button(browser: webdriver.Chrome, text: str) -> Any:
    found = browser.find_elements(By.TAG_NAME, "button")
    return next(one for one in found if one.text.startswith(text))


def test_the_chart_of_a_selector_is_accuracy_against_size(page, browser):
    browser.get(address_of(page, "other", "/model-metrics"))
    lines = wait_for(browser, lambda b: drawn(b, "accuracy_semantic"))
    assert lines == {"other": [[50, 70], [0.968, 0.969]]}


def test_charts_of_two_studies_lie_over_each_other(page, browser):
    browser.get("about:blank")
    browser.get(f"{page}&compareRunsMode=CHART")
    wait_for(browser, lambda b: len(drawn(b, "accuracy_semantic")) == 2)
    lines = drawn(browser, "accuracy_semantic")
    assert lines["other"] == [[50, 70], [0.968, 0.969]]
    assert lines["tiny"][0] == [50]


def test_two_studies_are_compared(page, browser):
    open_list(browser, page)
    boxes = ".ag-row input[aria-label*='(unchecked)']"
    for left in (1, 0):
        browser.execute_script(f'document.querySelector("{boxes}").click()')
        wait_for(browser, lambda b, n=left: len(b.find_elements(By.CSS_SELECTOR, boxes)) == n)
    button(browser, "Compare").click()
    wait_for(browser, lambda b: "Comparing 2 Runs" in text_of(b) and "accuracy_full" in text_of(b))
    text = text_of(browser)
    assert re.search(r"^model (resnet8 resnet20|resnet20 resnet8)$", text, re.MULTILINE)
    assert "0.97" in text


def test_the_page_of_a_study_has_the_verdict_the_data_set_and_the_model(page, browser):
    tiny = run_of(page, "tiny")
    browser.get(address_of(page, "tiny"))
    wait_for(browser, lambda b: tiny.data.tags["mlflow.note.content"] in text_of(b))
    digest = tiny.data.tags["dataset.digest"]
    assert f"digits ({digest})" in text_of(browser)
    model = tiny.data.tags["rayred.reference_model"].removeprefix("models:/")
    link = f"a[href*='/models/{model}']"
    wait_for(browser, lambda b: b.find_elements(By.CSS_SELECTOR, link))
    browser.get(f"{root_of(page)}/#/experiments/{tiny.info.experiment_id}/models/{model}")
    wait_for(browser, lambda b: "reference_test_accuracy" in text_of(b))
    wait_for(browser, lambda b: f"digits (#{digest[:8]}" in text_of(b))
    assert "tiny" in text_of(browser)


@pytest.mark.parametrize("name", ["accuracy.png", "accuracy.svg"])
def test_the_figures_are_shown_with_the_study(page, browser, name):
    browser.get("about:blank")
    browser.get(address_of(page, "tiny", f"/artifacts/figures/{name}"))
    shown = (
        "return [...document.images].some(i => i.src.startsWith('blob:') && i.naturalWidth > 99)"
    )
    wait_for(browser, lambda b: b.execute_script(shown))
    assert f"figures/{name}" in text_of(browser)

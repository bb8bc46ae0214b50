"""The group browser in a real browser: what it shows and counts is what the code computes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from rayred import load_dataset
from rayred.clustering import exploring
from rayred.clustering.cuts import Cut
from rayred.clustering.exploring import explore
from rayred.clustering.groups import grow_trees, kept_rows, redundant_groups
from rayred.clustering.trees import ClassTrees
from rayred.config import Data, Linkage
from rayred.data import load_train_split
from rayred.data.dataset import Split
from rayred.data.thumbnails import thumbnails
from rayred.report.browser.content import Album, Content, Pairs, Part, folder_urls
from tests.chromium import wait_for
from tests.data.examples import write_images
from tests.report.pages import Page, write_browser_page

LOWEST = 0.5
PICTURES = Path(__file__).parents[2] / "build" / "pictures"
"""Folder of pictures of the page, for a person to look at."""


@pytest.fixture(scope="module")
def digits() -> Split:
    return load_dataset("digits").train


@pytest.fixture(scope="module")
def x(digits: Split) -> np.ndarray:
    return thumbnails(digits)


@pytest.fixture(scope="module")
def trees(digits: Split, x: np.ndarray) -> ClassTrees:
    return grow_trees(x, digits.labels, LOWEST, Linkage())


@pytest.fixture(scope="module")
def file(digits: Split, x: np.ndarray, trees: ClassTrees, tmp_path_factory) -> Path:
    album = Album((Part("train", digits, np.arange(len(digits))),))
    pairs = Pairs("Alike", "They are alike.", np.array([[0, 1], [5, 9]]), ["one", "two"], 2)
    content = Content(album, explore(x, trees), Cut(keep=0.9), pairs=[pairs])
    return write_browser_page(tmp_path_factory.mktemp("page") / "report.html", content)


@pytest.fixture
def page(browser: webdriver.Chrome, file: Path, tmp_path: Path) -> Page:
    return Page(browser, file, tmp_path)


def named(digits: Split, rows: np.ndarray) -> list[str]:
    return [digits.names[row] for row in rows]


def test_it_opens_from_disk_without_an_error_and_asks_for_nothing(page):
    for tab in ("classes", "map", "pairs0", "groups"):
        page.all(f"#tab-{tab}")[0].click()
    page.press(".thumb")
    wait_for(page.browser, lambda _: page.all(".thumb canvas[data-drawn]"))
    assert page.errors() == []
    assert page.requests() == []


@pytest.mark.parametrize("fraction", [1.0, 0.95, 0.8, 0.613, LOWEST])
def test_at_every_share_it_keeps_what_the_subsets_do(page, digits, x, fraction):
    kept = redundant_groups(x, digits.labels, [fraction]).kept[fraction]
    page.cut("class", 100 * fraction)
    assert page.kept() == named(digits, kept)
    assert page.text(".summary").startswith(f"{len(kept):,} of {len(digits):,} images are kept")


@pytest.mark.parametrize(
    ("mode", "value", "cut"),
    [
        ("distance", 0.02, Cut(max_distance=0.02)),
        ("distance", 0.0, Cut(max_distance=0.0)),
        ("common", 93.7, Cut(keep=0.937, common=True)),
    ],
)
def test_at_every_height_it_keeps_what_a_smaller_data_set_does(
    page, digits, x, trees, mode, value, cut
):
    counts = cut.counts(trees)
    [kept] = kept_rows(x, trees, [counts], Linkage())
    page.cut(mode, value)
    assert page.kept() == named(digits, kept)


def test_the_slider_regroups_and_ends_where_the_trees_do(page, digits):
    slider = ".cut input[type=range]"
    assert page.all(slider)[0].get_attribute("value") == "900"
    assert page.all(slider)[0].get_attribute("min") == str(int(1000 * LOWEST))
    page.set(slider, 700, "input")
    assert page.text(".summary").startswith("9")
    sizes = digits.class_sizes()
    expected = sum(int(0.7 * size + 0.5) for size in sizes)
    assert page.text(".summary").startswith(f"{expected:,} of")
    page.cut("class", 3)
    assert page.all(".cut input[type=number]")[0].get_attribute("value") == str(100 * LOWEST)[:2]


def test_changing_the_way_to_cut_stays_near_the_cut(page):
    before = int(page.text(".summary").split()[0].replace(",", ""))
    page.set(".cut select", "common")
    assert abs(int(page.text(".summary").split()[0].replace(",", "")) - before) <= 1


def test_images_are_drawn_as_they_are(page, digits):
    wait_for(page.browser, lambda _: page.all(".thumb canvas[data-drawn]"))
    image, _ = page.thumbs()[0]
    script = """
      const canvas = document.querySelector(".list .thumb canvas");
      const scale = canvas.width / 8;
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return Array.from({ length: 64 }, (_, i) => {
        const middle = (place) => Math.floor((place + 0.5) * scale);
        return pixels[4 * (middle(Math.floor(i / 8)) * canvas.width + middle(i % 8))];
      });
    """
    drawn = np.array(page.run(script)).reshape(8, 8)
    assert np.array_equal(drawn, digits.images[image][:, :, 0])


def test_groups_are_filtered_by_class_size_and_name(page, digits):
    page.cut("class", 100 * LOWEST)
    page.set(".bar:not(.cut) select", "7")
    assert {int(digits.labels[image]) for image, _ in page.thumbs()} == {7}
    page.set("[aria-label='least images of a group']", "3")
    sizes = [int(line.text.split(" images")[0].split()[-1]) for line in page.all(".list .head")]
    assert min(sizes) >= 3
    page.set(".bar:not(.cut) select", "-1")
    page.set("[aria-label='least images of a group']", "2")
    alone = digits.names[11]
    page.set("[type=search]", alone, "input")
    assert 11 in [image for image, _ in page.thumbs()]


def test_groups_are_sorted(page):
    page.set(".bar:not(.cut) label:last-of-type select", "tightest")
    heights = [float(h.text.split("height ")[1].split()[0]) for h in page.all(".list .head")]
    assert heights == sorted(heights)
    page.set(".bar:not(.cut) label:last-of-type select", "loosest")
    heights = [float(h.text.split("height ")[1].split()[0]) for h in page.all(".list .head")]
    assert heights == sorted(heights, reverse=True)


def test_only_lines_in_sight_are_drawn(page):
    page.cut("class", 100 * LOWEST)
    assert len(page.all(".list .line")) < 60
    page.run("document.querySelector('.list').scrollTop = 8000")
    assert page.thumbs()
    assert len(page.all(".list .line")) < 60


def test_an_image_shows_what_is_known_of_it(page, digits, x):
    page.press(".list .thumb")
    image, _ = page.thumbs()[0]
    text = page.text(".detail")
    assert digits.names[image] in text
    assert f"row\n{digits.rows[image]}" in text
    near = [int(t.get_attribute("data-image")) for t in page.all(".detail .near .thumb")]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    rows = np.setdiff1d(np.flatnonzero(digits.labels == digits.labels[image]), [image])
    distances = 1 - unit[rows] @ unit[image]
    assert set(near) <= set(rows.tolist())
    assert 1 - unit[near[0]] @ unit[image] == pytest.approx(distances.min(), abs=1e-5)


def test_what_is_changed_is_what_is_downloaded(page, digits):
    before = page.kept()
    gone = next(image for image, state in page.thumbs() if state == "gone")
    page.press(f".list .thumb[data-image='{gone}']")
    page.click("Keep this one instead (k)")
    after = page.kept()
    assert digits.names[gone] in after
    assert len(after) == len(before)
    other = next(image for image, state in page.thumbs() if state == "gone" and image != gone)
    page.press(f".list .thumb[data-image='{other}']")
    page.click("Keep this one too")
    assert len(page.kept()) == len(before) + 1
    table = list(csv.DictReader(page.download("discarded.csv").splitlines()))
    assert sorted(row["name"] for row in table) == sorted(set(digits.names) - set(page.kept()))
    assert {row["representative"] for row in table} <= set(page.kept())
    page.click("Undo all changes")
    assert page.kept() == before


def test_all_of_a_group_are_kept_and_no_group_is_left_without_any(page, digits):
    page.press(".list .head button")
    images = [image for image, _ in page.thumbs()][:2]
    assert set(named(digits, np.array(images))) <= set(page.kept())
    page.click("Undo all changes")
    page.press(".list .thumb.kept")
    image = int(page.all(".list .thumb[aria-current=true]")[0].get_attribute("data-image"))
    other = next(i for i, state in page.thumbs() if state == "gone")
    page.press(f".list .thumb[data-image='{other}']")
    page.click("Keep this one instead (k)")
    page.cut("class", 100)  # where every image is alone again
    assert len(page.kept()) == len(digits)
    assert digits.names[image] in page.kept()


def test_keys_move_and_change(page):
    box = page.all(".list")[0]
    box.send_keys(Keys.ARROW_RIGHT)
    first = page.text(".detail h3")
    box.send_keys(Keys.ARROW_RIGHT)
    assert page.text(".detail h3") != first
    box.send_keys("k")
    assert "1 image changed" in page.text(".changes") or "images changed" in page.text(".changes")
    assert page.text(".detail h3") in page.kept()
    box.send_keys(Keys.END)
    wait_for(page.browser, lambda _: page.all(".list .thumb[aria-current=true]"))
    box.send_keys(Keys.ESCAPE)
    assert page.all(".detail h3") == []


def test_classes_are_counted_and_sorted(page, digits, trees):
    page.cut("distance", 0.02)
    page.all("#tab-classes")[0].click()
    rows = {row.text.split()[0]: row.text.split() for row in page.all(".classes tbody tr")}
    counts = Cut(max_distance=0.02).counts(trees)
    for label, (size, kept) in enumerate(zip(digits.class_sizes(), counts, strict=True)):
        assert rows[digits.classes[label]][1:3] == [str(size), str(size - kept)]
    shares = [float(row.text.split()[3]) for row in page.all(".classes tbody tr")]
    assert shares == sorted(shares, reverse=True)
    most = digits.classes.index(page.all(".classes tbody button")[0].text)
    page.all(".classes th button")[1].click()
    sizes = [int(row.text.split()[1]) for row in page.all(".classes tbody tr")]
    assert sizes == sorted(sizes, reverse=True)
    next(b for b in page.all(".classes tbody button") if b.text == digits.classes[most]).click()
    assert {int(digits.labels[image]) for image, _ in page.thumbs()} == {most}
    page.cut("class", 100)
    assert page.text(".note") == "There is no such group at this cut."


def test_dark_and_small_screens(page):
    light = page.run("return getComputedStyle(document.body).backgroundColor")
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    assert page.run("return getComputedStyle(document.body).backgroundColor") != light
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    phone = {"width": 400, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    assert page.run("return document.documentElement.scrollWidth") <= 400
    page.press(".list .thumb", 1)
    assert page.all(".detail.open")
    page.click("Close")
    assert not page.all(".detail.open")
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_ticked_groups_are_kept_as_a_whole(page, digits):
    page.thumbs()
    for place in (0, 1):
        page.press(".list .head input", place)
    page.click("Keep all of the ticked groups")
    page.thumbs()
    heads = [int(head.text.split("·")[-1].split()[0]) for head in page.all(".list .head")[:2]]
    images = [image for image, state in page.thumbs() if state == "kept"][: sum(heads)]
    assert len(images) > 2
    assert set(named(digits, np.array(images))) <= set(page.kept())


def test_the_whole_picture_is_shown_where_it_lies(browser: webdriver.Chrome, tmp_path: Path):
    folder = tmp_path / "pets & more%20"
    write_images(folder / "cat", 4, size=(40, 30))
    split = load_train_split(f"folder:{folder}", Data(image_size=16))
    x = np.random.default_rng(0).normal(size=(4, 3))
    exploration = explore(x, grow_trees(x, split.labels, 0.25, Linkage()))
    sources = ["images/", *folder_urls(split)]
    album = Album((Part("train", split, np.arange(4)),))
    content = Content(album, exploration, Cut(keep=0.5), sources=sources)
    page = Page(browser, write_browser_page(tmp_path / "report.html", content), tmp_path)
    page.thumbs()
    page.press(".list .thumb")
    wait_for(browser, lambda _: page.all(".picture img"))
    size = "const image = arguments[0]; return [image.naturalWidth, image.naturalHeight]"
    assert page.run(size, page.all(".picture img")[0]) == [40, 30]
    assert all(one.startswith("file:") for one in page.requests())


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_of_the_page_are_left_to_be_looked_at(page, width, scheme):
    PICTURES.mkdir(parents=True, exist_ok=True)
    screen = {"width": width, "height": 1100, "deviceScaleFactor": 1, "mobile": width < 500}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    wait_for(page.browser, lambda _: page.all(".thumb canvas[data-drawn]"))
    picture = page.browser.get_screenshot_as_png()
    (PICTURES / f"report-{width}-{scheme}.png").write_bytes(picture)
    with Image.open(io.BytesIO(picture)) as image:
        assert image.width == width
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize(
    "cut",
    [
        Cut(keep=0.97, common=True, floor=122),
        Cut(keep=0.9, floor=120),
        Cut(max_distance=0.03, floor=125),
        Cut(keep=1 / 3),
    ],
)
def test_the_cut_that_was_made_is_shown_at_first(browser, digits, x, tmp_path, cut):
    trees = cut.trees(
        lambda share, height: grow_trees(
            x, digits.labels, share, Linkage(), max_distance=height
        ),
        digits.class_sizes().tolist(),
    )  # fmt: skip
    [kept] = kept_rows(x, trees, [cut.counts(trees)], Linkage())
    album = Album((Part("train", digits, np.arange(len(digits))),))
    content = Content(album, explore(x, trees, reach=cut.reach(trees)), cut)
    page = Page(browser, write_browser_page(tmp_path / "report.html", content), tmp_path)
    assert page.kept() == named(digits, kept)
    for share in (98.5, 99):
        if cut.max_distance is None:
            page.set(".cut input[type=number]", share)
            counts = replace(cut, keep=share / 100).counts(trees)
            [kept] = kept_rows(x, trees, [counts], Linkage())
            assert page.kept() == named(digits, kept)


def test_a_class_without_merges_ends_no_share_of_all(browser, tmp_path):
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (22, 8, 8, 1), np.uint8), np.repeat([0, 1], [20, 2])
    split = Split(pixels, labels, [f"image {n}" for n in range(22)], ("many", "two"))
    x = np.concatenate([rng.normal(size=(20, 4)), [[1, 0, 0, 0], [-1, 0, 0, 0]]])
    cut = Cut(keep=0.8, common=True)
    trees = cut.trees(
        lambda share, height: grow_trees(x, labels, share, Linkage(), max_distance=height), [20, 2]
    )
    album = Album((Part("train", split, np.arange(22)),))
    content = Content(album, explore(x, trees, reach=cut.reach(trees)), cut)
    page = Page(browser, write_browser_page(tmp_path / "report.html", content), tmp_path)
    [kept] = kept_rows(x, trees, [cut.counts(trees)], Linkage())
    assert page.kept() == named(split, kept)
    page.set(".cut input[type=number]", 100)
    assert len(page.kept()) == 22
    page.set(".cut input[type=number]", 80)
    assert page.kept() == named(split, kept)


def test_groups_that_are_too_many_to_show_are_said_to_be(
    browser, digits, x, trees, tmp_path, monkeypatch
):
    monkeypatch.setattr(exploring, "MOST_MEMBERS", 300)
    found = explore(x, trees)
    assert not found.whole
    album = Album((Part("train", digits, np.arange(len(digits))),))
    content = Content(album, found, Cut(keep=LOWEST))
    page = Page(browser, write_browser_page(tmp_path / "report.html", content), tmp_path)
    assert "too many to be shown" in page.text(".summary")
    share = float(page.all(".cut input[type=number]")[0].get_attribute("value")) / 100
    kept = redundant_groups(x, digits.labels, [share]).kept[share]
    assert page.kept() == named(digits, kept)


def test_keys_of_the_browser_itself_change_nothing_and_the_keyboard_stays(page):
    box = page.all(".list")[0]
    box.send_keys(Keys.ARROW_RIGHT)
    box.send_keys(Keys.CONTROL, "a")
    assert page.text(".changes") == "Nothing changed"
    page.press(".list .head button")
    page.press(".list .thumb", 1)
    page.click("Do not keep this one")
    assert page.run("return document.activeElement.className") == "list"
    box.send_keys("a")
    assert "changed" in page.text(".changes")
    page.all("#tab-classes")[0].click()
    page.all(".classes th button")[0].click()
    assert page.run("return document.activeElement.textContent") == "class"


def test_the_count_of_changes_and_the_filter_by_height(page):
    page.cut("class", 100 * LOWEST)
    page.thumbs()
    page.press(".list .thumb.gone")
    page.click("Keep this one instead (k)")
    assert page.text(".changes") == "2 images changed"
    page.press(".list .thumb.gone")
    page.click("Keep this one instead (k)")
    page.set("[aria-label='least height of a group']", "0.1")
    page.thumbs()
    heights = [float(h.text.split("height ")[1].split()[0]) for h in page.all(".list .head")]
    assert min(heights) >= 0.0995


def test_a_text_is_shown_where_nothing_can_be_copied(page):
    page.run("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    page.click("Copy discarded.csv")
    area = wait_for(page.browser, lambda _: page.all(".detail textarea"))[0]
    assert area.get_attribute("value").startswith("name,class,row,representative,distance,group")

"""All figures of a study, as files."""

from __future__ import annotations

import dataclasses
import hashlib
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from rayred.clustering.exploring import explore
from rayred.clustering.groups import redundant_groups
from rayred.config import Selection
from rayred.data.dataset import Dataset, Split
from rayred.machines.environment import Environment
from rayred.report.figures import Drawn, draw_figures
from rayred.report.figures.text import printable
from rayred.report.study import StudyReport
from rayred.results.trial import Trial, TrialResult
from rayred.verdict import judge
from tests.report.figures.seen import HOSTILE

NAMES = {
    "accuracy",
    "curves",
    "groups",
    "groups-loosest",
    "group-sizes",
    "redundancy-by-class",
    "merge-heights",
}


def study(classes: tuple[str, ...] = HOSTILE, size: int = 12, fraction: float = 0.5) -> StudyReport:
    """Return the report of a study that nobody ran."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(classes)), size)
    images = rng.integers(0, 255, (len(labels), 6, 9, 3), dtype=np.uint8)
    split = Split(images, labels, [""] * len(labels), classes)
    dataset = Dataset("<made>", split, split)
    x = rng.normal(size=(len(labels), 4))
    found = redundant_groups(x, labels, [fraction])
    curve = tuple(
        {"step": step, "epoch": 0.0, "train_loss": 1.0, "lr": 0.1, "test_accuracy": step / 100}
        for step in (10, 50, 90)
    )
    trials = [
        TrialResult(Trial(name, share, n, n, ""), 10, "finished", 0.9 + n / 100, 1.0, curve=curve)
        for name, share in (("full", 1.0), ("semantic", fraction), ("random", fraction))
        for n in range(2)
    ]
    return StudyReport(
        name="$x$ & <y>",
        dataset_setting="folder:x",
        dataset=dataset,
        model="resnet8",
        steps=90,
        linkage="complete",
        reference_accuracy=0.9,
        reference_seconds=1.0,
        reference_curve=(),
        fraction=fraction,
        trees=found.trees,
        kept=found.kept[fraction],
        given=False,
        exploration=explore(x, found.trees),
        twice={},
        trials=trials,
        test=None,
        verdict=judge("$x$ & <y>", trials, 0.25),
        selection=Selection(),
        overlaps=(),
        environment=Environment({}),
        found=None,
        notes=[],
        config="",
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> list[Drawn]:
    return draw_figures(tmp_path_factory.mktemp("figures"), study())


def digests(folder: Path) -> dict[str, str]:
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in folder.iterdir()}


def test_each_figure_is_a_png_with_an_svg_beside_it(drawn):
    assert {one.name for one in drawn} == NAMES
    for one in drawn:
        assert one.path.name == f"{one.name}.png"
        with Image.open(one.path) as picture:
            assert picture.width in (1050, 2160)
        assert one.path.with_suffix(".svg").is_file()
    folder = drawn[0].path.parent
    assert {path.stem for path in folder.iterdir()} == NAMES


def test_titles_and_captions_are_all_different_and_say_numbers(drawn):
    assert len({one.caption for one in drawn}) == len(drawn)
    assert all(any(sign.isdigit() for sign in one.title) for one in drawn)


def test_svg_has_text_and_neither_scripts_nor_handlers_of_events(drawn):
    for one in drawn:
        root = ET.fromstring(one.path.with_suffix(".svg").read_bytes())
        for element in root.iter():
            assert element.tag.rpartition("}")[2] not in ("script", "foreignObject", "a")
            assert not [key for key in element.attrib if key.lower().startswith("on")]
            addresses = [text for key, text in element.attrib.items() if key.endswith("href")]
            assert all(text.startswith(("#", "data:image/png;")) for text in addresses)
        said = {text.strip() for text in root.itertext()}
        if one.name == "redundancy-by-class":
            names = {printable(name) for name in HOSTILE if len(name) < 30}
            assert {"$x_1$", "<script>alert(1)</script>", "猫と犬の写真"} <= names <= said


def test_the_same_study_gives_the_same_bytes(drawn, tmp_path):
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": "other", "text.parse_math": True}):
        draw_figures(tmp_path, study())
    assert dict(mpl.rcParams) == before
    assert digests(tmp_path) == digests(drawn[0].path.parent)


def test_a_study_of_one_class_without_groups_is_drawn(tmp_path):
    made = study(("only",), 3, 1.0)
    found = draw_figures(tmp_path, made)
    assert {"accuracy", "groups", "group-sizes"} <= {one.name for one in found}
    empty = dataclasses.replace(made, trials=[], verdict=judge("none", [], 0.25))
    names = {one.name for one in draw_figures(tmp_path / "empty", empty)}
    assert {"accuracy", "groups", "group-sizes"} <= names
    assert "curves" not in names

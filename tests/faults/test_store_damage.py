"""Files of a run folder that were cut, edited or removed, beside those that are not."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import run_folder, small_study
from tests.faults.failing_writes import counted_writes
from tests.faults.small_study import Settings

GIVEN = Settings(rate="a", margin="x", data="1", trials=1)


def study(folder: Path, given: Settings = GIVEN) -> list[str]:
    """Run a study to its end; returns what was made."""
    made: list[str] = []

    def note(name: str) -> int:
        made.append(name)
        return 0

    small_study.run(folder, given, False, note)
    return made


def cut(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, 3)


def assert_shown(folder: Path) -> None:
    """Everything at the top is as the current study's entries have it."""
    entries = run_folder.whole_entries(folder)
    parts = run_folder.study(folder, GIVEN.study)["parts"].items()
    wanted = [entries[f"{stage}-{key}"] for stage, key in parts]
    files = {name: content for one in wanted if one.shown for name, content in one.files.items()}
    assert run_folder.top_files(folder) == files


def test_a_damaged_view_does_not_stay_when_its_part_is_replaced(tmp_path):
    study(tmp_path)
    cut(tmp_path / "config.yaml")  # the same file as the entry's
    study(tmp_path, replace(GIVEN, trials=2))
    assert_shown(tmp_path)


def test_a_good_copy_is_not_replaced_by_a_damaged_file(tmp_path):
    with counted_writes(links=False):
        study(tmp_path)
        cut(next(tmp_path.glob("made/config-*/config.yaml")))
        study(tmp_path)
    assert_shown(tmp_path)


@pytest.mark.parametrize("links", [True, False])
def test_a_damaged_environment_is_made_again(tmp_path, links):
    with counted_writes(links=links):
        study(tmp_path)
        cut(next(tmp_path.glob("made/environment-*/environment.json")))
        assert study(tmp_path) == []
    assert_shown(tmp_path)


@pytest.mark.parametrize("harm", ["cut", "removed"])
def test_an_entry_without_a_record_is_made_again_and_leaves_nothing(tmp_path, harm):
    study(tmp_path)
    folders = {path.name for path in (tmp_path / "made").iterdir()}
    records = list(tmp_path.glob("made/*/record.json"))
    for record in records:
        cut(record) if harm == "cut" else record.unlink()
    assert len(study(tmp_path)) == len(records) - 1  # the environment is not told
    assert {path.name for path in (tmp_path / "made").iterdir()} == folders
    assert_shown(tmp_path)


def test_what_is_damaged_and_has_no_name_yet_does_not_replace_what_is_whole(tmp_path):
    study(tmp_path)
    (whole,) = (tmp_path / "made").glob("reference-*")
    before = (whole / "reference.pt").read_bytes()
    # As a process leaves it that was killed between the two renames of `--fresh`.
    newer = whole.with_name(f".{whole.name}.rayred-{'0' * 32}")
    shutil.copytree(whole, newer)
    record = json.loads((newer / "record.json").read_text())
    record["origin"]["generation"] = 1
    (newer / "record.json").write_text(json.dumps(record))
    cut(newer / "reference.pt")
    whole.rename(whole.with_name(f"{whole.name}-others-{'0' * 32}"))
    assert study(tmp_path) == []
    assert (whole / "reference.pt").read_bytes() == before
    assert_shown(tmp_path)

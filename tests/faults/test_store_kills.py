"""A process that is killed, or finds the disk full, at each write to a run folder in turn."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rayred.store import find_unneeded, open_store, remove_unneeded
from tests.faults import run_folder, small_study
from tests.faults.failing_writes import Fault, Kind, attempt, counted_writes
from tests.faults.small_study import Settings

GIVEN = Settings(rate="a", margin="x", data="1", trials=2)
OTHER_DATA = replace(GIVEN, data="2")
Command = Callable[[Path], None]
kinds = pytest.mark.parametrize("kind", ["kill", "full for good"])


def study(given: Settings, *, fresh: bool = False) -> Command:
    return lambda folder: small_study.run(folder, given, fresh, lambda _: 0)


def clean(folder: Path) -> None:
    with open_store(folder) as store:
        remove_unneeded(store, find_unneeded(store))


def copied(folder: Path, copy: Path) -> Path:
    """A copy of a folder, in which what was one file is one."""
    shutil.rmtree(copy, ignore_errors=True)
    subprocess.run(["cp", "-a", folder, copy], check=True)
    return copy


def failing(folder: Path, copy: Path, command: Command, kind: Kind) -> Iterator[Path]:
    """A copy of the folder for each write of a command at which that failed."""
    with counted_writes() as writes:
        command(copied(folder, copy))
    n_writes = len(writes)
    for write in range(1, n_writes + 1):
        copied(folder, copy)
        ended = attempt(lambda: command(copy), Fault(kind, write))
        if ended != "finished":
            yield copy


@pytest.mark.parametrize("other", [OTHER_DATA, replace(OTHER_DATA, margin="y")])
@kinds
def test_views_of_two_data_sets_are_never_there_together(tmp_path, kind, other):
    folder = tmp_path / "run"
    study(GIVEN)(folder)
    study(other)(folder)
    steps = 0
    for copy in failing(folder, tmp_path / "copy", study(GIVEN), kind):
        shown = {name: content.decode() for name, content in run_folder.top_files(copy).items()}
        data = {name: text.partition('"data": "')[2][:1] for name, text in shown.items()}
        assert len({one for one in data.values() if one}) <= 1
        assert "config.yaml" in shown or not any(data.values())  # it says whose the others are
        steps += 1
    assert steps


@kinds
def test_files_of_the_users_in_an_entry_that_is_made_again_stay(tmp_path, kind):
    folder = tmp_path / "run"
    study(GIVEN)(folder)
    for entry in (folder / "made").iterdir():
        (entry / "notes.txt").write_text(f"mine, in {entry.name}")
    notes = {path.read_text() for path in (folder / "made").rglob("notes.txt")}
    for copy in failing(folder, tmp_path / "copy", study(GIVEN, fresh=True), kind):
        with counted_writes():  # without waiting for the disk
            study(GIVEN)(copy)
        assert {path.read_text() for path in (copy / "made").rglob("notes.txt")} == notes
        assert run_folder.unfinished(copy) == []


@kinds
def test_a_clean_that_was_killed_goes_on(tmp_path, kind):
    folder = tmp_path / "run"
    study(OTHER_DATA)(folder)
    study(GIVEN)(folder)
    parts = run_folder.study(folder, GIVEN.study)["parts"]
    needed = {f"{stage}-{key}" for stage, key in parts.items()}
    for copy in failing(folder, tmp_path / "copy", clean, kind):
        whole = {*run_folder.whole_entries(copy)}
        assert needed <= whole
        for other in run_folder.manifest(copy)["studies"].values():
            assert {f"{stage}-{key}" for stage, key in other["parts"].items()} <= whole
        clean(copy)
        files = [path for path in (copy / "made").rglob("*") if path.is_file()]
        assert {path.relative_to(copy / "made").parts[0] for path in files} == needed


def test_clean_removes_nothing_while_trials_are_added(tmp_path):
    folder, seen = tmp_path / "run", 0
    study(replace(GIVEN, trials=1))(folder)
    finished = run_folder.study(folder, GIVEN.study)["parts"]
    more = study(replace(GIVEN, trials=2))
    for copy in failing(folder, tmp_path / "copy", more, "kill"):
        now, before = run_folder.study(copy, GIVEN.study), run_folder.whole_entries(copy)
        if now["finished"]:  # killed before the first change, or after the last
            assert now["parts"] == finished or now["parts"].keys() == {*finished, "trial-1"}
            continue
        clean(copy)
        assert before.items() <= run_folder.whole_entries(copy).items()
        seen += 1
    assert seen

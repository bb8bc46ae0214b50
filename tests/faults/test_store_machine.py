"""Any sequence of runs, changes, kills, full disks, damage and cleaning, against the promises."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from rayred.errors import FolderClosedError
from rayred.store import find_unneeded, open_store, remove_unneeded
from tests.faults import run_folder, small_study
from tests.faults.failing_writes import Fault, Kind, attempt, counted_writes
from tests.faults.small_study import Settings

FIRST = Settings(rate="a", margin="x", data="1", trials=2)
CHANGES = {
    "rate": lambda given: replace(given, rate="ba"["ab".index(given.rate)]),
    "margin": lambda given: replace(given, margin="yx"["xy".index(given.margin)]),
    "data": lambda given: replace(given, data="21"["12".index(given.data)]),
    "trials": lambda given: replace(given, trials=given.trials % 3 + 1),
}
CHANGE = st.sampled_from([*CHANGES, "back"])
SELDOM = st.sampled_from([False, False, False, True])
KIND = st.sampled_from(["kill", "kill", "full", "full for good"])
WHICH = st.integers(0, 10**6)
VIEWS = (
    "config.yaml",
    "environment.json",
    "figures/accuracy.png",
    "left-out.csv",
    "reference.pt",
    "results.json",
    "subsets/full.npy",
    "subsets/half.npy",
)


class RunFolder(RuleBasedStateMachine):
    """A run folder, and beside it what is known of it."""

    @initialize(links=st.booleans())
    def start(self, links: bool) -> None:
        self.place = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.folder = self.place / "run"
        self.log = self.place / "made"
        self.log.touch()
        self.links = links
        self.whole: dict[str, run_folder.WholeEntry] = {}
        """All entries that were whole after the last step."""
        self.mine: dict[str, bytes] = {}
        """Files that are the user's, by path."""
        self.mine_in_entries: set[bytes] = set()
        """Files that the user has put into entries: they move with what else is replaced."""
        self.damaged: set[bytes] = set()
        """What files have in them that were cut or edited."""
        self.finished: dict[str, tuple[dict[str, str], int]] = {}
        """Parts and generation of each study as it was finished."""
        self.harmed: set[str] = set()
        """Folders of entries whose files were: what they are can have been lost with the record."""
        self.given = self.before = FIRST
        self.number = 0

    def teardown(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    # What is done to the folder.

    @rule(change=CHANGE, fresh=SELDOM)
    def run(self, change: str, fresh: bool) -> None:
        self._change(change)
        self._run(fresh)

    @rule(change=CHANGE, fresh=SELDOM, kind=KIND, when=WHICH)
    def run_and_fail(self, change: str, fresh: bool, kind: Kind, when: int) -> None:
        self._change(change)
        self._run(fresh, kind, when)

    @rule(fresh=SELDOM)
    def run_again(self, fresh: bool) -> None:
        self._run(fresh)

    @rule(fresh=SELDOM, kind=KIND, when=WHICH)
    def run_again_and_fail(self, fresh: bool, kind: Kind, when: int) -> None:
        self._run(fresh, kind, when)

    @rule(kind=st.one_of(st.none(), KIND), when=WHICH)
    def clean(self, kind: Kind | None, when: int) -> None:
        if not self._has_manifest():
            return
        current, parts = run_folder.manifest(self.folder)["study"], self._current()["parts"]
        unneeded = {*self.whole} - {f"{stage}-{part}" for stage, part in parts.items()}
        if self.finished.get(current) != (parts, self._current()["since"]):
            unneeded = set()
        ended = self._attempt(self._clean_folder, kind, when)
        self._check(ended, may_be_gone=unneeded)

    @rule()
    def two_at_once(self) -> None:
        if not self._has_manifest():
            return
        with open_store(self.folder), pytest.raises(FolderClosedError):
            small_study.run(self.folder, self.given, False, self._made)
        self._check("finished")

    @rule(which=WHICH, harm=st.sampled_from(["cut", "edited", "removed"]))
    def damage_an_entry(self, which: int, harm: str) -> None:
        files = [f"{name}/{file}" for name in self.whole for file in self.whole[name].files]
        files += [f"{name}/record.json" for name in self.whole]
        if files:
            self.harmed.add(files[which % len(files)].partition("/")[0])
            self._harm(self.folder / "made" / files[which % len(files)], harm)
            self.whole = run_folder.whole_entries(self.folder)

    @rule(which=WHICH, harm=st.sampled_from(["cut", "edited", "removed", "replaced"]))
    def damage_a_view(self, which: int, harm: str) -> None:
        views = self._views()
        if not views:
            return
        view = self.folder / views[which % len(views)]
        is_copy = view.stat().st_nlink == 1
        self._harm(view, harm)
        if harm == "replaced" or (is_copy and harm != "removed"):
            self.mine[view.relative_to(self.folder).as_posix()] = view.read_bytes()
        self.whole = run_folder.whole_entries(self.folder)

    @rule(name=st.sampled_from(["notes.txt", *VIEWS, "figures", "made/n.txt", "figures/n.txt"]))
    def put_a_file(self, name: str) -> None:
        path = self.folder / name
        if self._has_manifest() and path.parent.is_dir() and not os.path.lexists(path):
            self.mine[name] = self._write_mine(path)

    @rule(which=WHICH, folder=st.sampled_from([".", "subsets", "figures"]))
    def put_a_file_into_an_entry(self, which: int, folder: str) -> None:
        places = [self.folder / "made" / name / folder for name in self.whole]
        places = [place for place in places if place.is_dir()]
        if places:
            place = places[which % len(places)]
            self.mine_in_entries.add(self._write_mine(place / f"notes-{self.number}.txt"))

    # How it is done.

    def _change(self, change: str) -> None:
        self.given, self.before = (
            self.before if change == "back" else CHANGES[change](self.given),
            self.given,
        )

    def _run(self, fresh: bool, kind: Kind | None = None, when: int = 0) -> None:
        given, before = self.given, run_folder.manifest(self.folder)
        study = run_folder.study(self.folder, given.study)
        made_before = len(self.log.read_text().splitlines())

        def command(folder: Path) -> None:
            small_study.run(folder, given, fresh, self._made)

        ended = self._attempt(command, kind, when)
        since = run_folder.study(self.folder, given.study)["since"]
        goes_on = before["study"] == given.study and study["starting_over"]
        over = before["generation"] + 1 if fresh and not goes_on else study["since"]
        assert since in ({over} if ended == "finished" else {over, study["since"]})
        made = self.log.read_text().splitlines()[made_before:]
        again = {name for name in made if self._is_there(name, since)}
        assert not again, f"made again: {again}"
        assert len(made) == len(set(made)), f"made twice: {made}"
        self._check(ended, since)
        after = run_folder.study(self.folder, given.study)
        news = self.finished.get(given.study) != (after["parts"], since)
        if ended == "finished" or (after["finished"] and news):
            self._check_finished(given)

    def _is_there(self, name: str, since: int) -> bool:
        return name in self.whole and self.whole[name].generation >= since

    def _attempt(self, command: Callable[[Path], None], kind: Kind | None, when: int) -> str:
        fault = None if kind is None else Fault(kind, 1 + when % self._writes(command))
        return attempt(lambda: command(self.folder), fault, links=self.links)

    def _writes(self, command: Callable[[Path], None]) -> int:
        """How many writes a command does here: tried on a copy."""
        copy, log = self.place / "copy", self.log.read_bytes()
        if self.folder.exists():
            subprocess.run(["cp", "-a", self.folder, copy], check=True)
        with counted_writes(links=self.links) as writes:
            command(copy)
        shutil.rmtree(copy)
        self.log.write_bytes(log)
        return len(writes)

    def _made(self, name: str) -> int:
        """Note what is made, here or in a process that is to be killed; the how-manyth it is."""
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, f"{name}\n".encode())
        os.close(descriptor)
        return len(self.log.read_text().splitlines())

    @staticmethod
    def _clean_folder(folder: Path) -> None:
        with open_store(folder) as store:
            remove_unneeded(store, find_unneeded(store))

    def _write_mine(self, path: Path) -> bytes:
        self.number += 1
        content = f"mine {self.number}".encode()
        path.write_bytes(content)
        return content

    def _harm(self, path: Path, harm: str) -> None:
        if harm in ("removed", "replaced"):
            path.unlink()
        if harm == "replaced":
            self._write_mine(path)
        if harm in ("removed", "replaced"):
            return
        path.chmod(0o644)
        self.number += 1
        content = path.read_bytes()
        content = content[: len(content) // 2] if harm == "cut" else b"#" + content[1:]
        path.write_bytes(content)
        self.damaged.add(content)

    # What holds.

    def _has_manifest(self) -> bool:
        return (self.folder / "rayred.json").exists()

    def _current(self) -> dict[str, Any]:
        return run_folder.study(self.folder, run_folder.manifest(self.folder)["study"])

    def _recorded(self) -> set[str]:
        return {path.parent.name for path in (self.folder / "made").glob("*/record.json")}

    def _views(self) -> list[str]:
        return sorted({*run_folder.top_files(self.folder)} & {*VIEWS} - {*self.mine})

    def _check(self, ended: str, since: int = 0, may_be_gone: Set[str] = frozenset()) -> None:
        after = run_folder.whole_entries(self.folder)
        there = [*after.values(), *run_folder.half_way(self.folder)]
        for name, entry in self.whole.items():
            kept = [one for one in there if one.name == name]
            same = any(one.files == entry.files for one in kept)
            over = any(entry.generation < since <= one.generation for one in kept)
            assert same or over or name in may_be_gone, f"{name} is not there any more"
        self._check_shown()
        for name, content in self.mine.items():
            assert (self.folder / name).read_bytes() == content
        notes = {path.read_bytes() for path in (self.folder / "made").rglob("notes-*.txt")}
        assert self.mine_in_entries <= notes, "a file of the user's was removed"
        if ended == "finished":
            assert run_folder.unfinished(self.folder) == []
            self._check_no_more_is_there()
        self.whole = after

    def _check_shown(self) -> None:
        told: dict[str, set[Any]] = {name: set() for name in vars(FIRST)}
        files = run_folder.top_files(self.folder)
        for name in self._views():
            if files[name] in self.damaged:
                continue
            content = json.loads(files[name])
            for setting, values in told.items():
                values |= {content[setting]} if setting in content else set()
        assert all(len(values) <= 1 for values in told.values()), f"of more than one: {told}"

    def _check_no_more_is_there(self) -> None:
        """Nothing was left in the entries' folders that cleaning would not find."""
        mine = {*self.mine.values(), *self.mine_in_entries}
        for path in (self.folder / "made").rglob("*"):
            name = path.relative_to(self.folder / "made").parts[0]
            if path.is_file() and name not in self._recorded() | self.harmed:
                assert path.read_bytes() in mine, f"left: {path}"

    def _check_finished(self, given: Settings) -> None:
        study = self._current()
        assert study["finished"]
        self.finished[given.study] = study["parts"], study["since"]
        stages = {"config", "dataset", "environment", "left-out", "reference", "report", "subsets"}
        stages |= {f"trial-{number}" for number in range(given.trials)}
        assert set(study["parts"]) == stages
        entries = [self.whole[f"{stage}-{key}"] for stage, key in study["parts"].items()]
        wanted = {n: c for one in entries if one.shown for n, c in one.files.items()}
        for name, content in run_folder.top_files(self.folder).items():
            if name not in self.mine and not name.startswith("."):
                assert wanted.pop(name) == content, f"{name} is not what it is to be"
        assert all(self._is_mine(name) for name in wanted), f"not shown: {wanted}"
        results = json.loads(self.whole[f"report-{study['parts']['report']}"].files["results.json"])
        assert {**results, "number": 0} == {**vars(given), "number": 0}
        top = {path.name for path in self.folder.iterdir()} - run_folder.INTERNAL
        owned = set(run_folder.manifest(self.folder)["owns"])
        assert top - {Path(name).parts[0] for name in self.mine} <= owned

    def _is_mine(self, name: str) -> bool:
        path = Path(name)
        return any(part.as_posix() in self.mine for part in (path, *path.parents))


TestRunFolder = RunFolder.TestCase
TestRunFolder.settings = settings(
    max_examples=100,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)

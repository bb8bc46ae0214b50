"""Any sequence of runs, changes, kills, full disks, damage and cleaning, against the promises."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rayred.errors import FolderClosedError, RayredError
from rayred.store import find_unneeded, open_store, remove_unneeded
from tests.faults import run_folder, small_study
from tests.faults.failing_writes import Fault, counted_writes
from tests.faults.small_study import Settings

SETTINGS = st.builds(
    Settings,
    rate=st.sampled_from("ab"),
    margin=st.sampled_from("xy"),
    data=st.sampled_from("12"),
    trials=st.integers(1, 3),
)
WRITE = st.one_of(st.integers(1, 30), st.integers(1, 120), st.integers(1, 330))
FAULT = st.builds(Fault, st.sampled_from(["kill", "kill", "full", "full for good"]), WRITE)
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
        self.mine_in_entries: dict[str, list[bytes]] = {}
        """Files that the user has put into an entry, by the entry's name."""
        self.damaged: set[bytes] = set()
        """What files have in them that were cut or edited."""
        self.removable: set[str] = set()
        """Entries that a command may remove."""
        self.last: Settings | None = None
        self.number = 0

    def teardown(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    # What is done to the folder.

    @rule(given=SETTINGS, fresh=st.sampled_from([False, False, False, True]))
    def run(self, given: Settings, fresh: bool) -> None:
        self._run(given, fresh, None)

    @rule(given=SETTINGS, fresh=st.sampled_from([False, False, True]), fault=FAULT)
    def run_and_fail(self, given: Settings, fresh: bool, fault: Fault) -> None:
        self._run(given, fresh, fault)

    @precondition(lambda self: self.last is not None)
    @rule(fresh=st.sampled_from([False, False, True]), fault=st.one_of(st.none(), FAULT))
    def run_again(self, fresh: bool, fault: Fault | None) -> None:
        assert self.last is not None
        self._run(self.last, fresh, fault)

    @precondition(lambda self: (self.folder / "rayred.json").exists())
    @rule(fault=st.one_of(st.none(), FAULT))
    def clean(self, fault: Fault | None) -> None:
        current = self._current()
        entries = set(self.whole)
        needed = {f"{stage}-{part}" for stage, part in current["parts"].items()}
        if current["finished"] and needed <= self._recorded():
            entries &= needed | {name for name in entries if name.startswith("environment-")}
        self.removable = set(self.whole) - entries
        self._check(self._attempt(self._clean_folder, fault))
        self.removable = set()

    @precondition(lambda self: (self.folder / "rayred.json").exists())
    @rule(given=SETTINGS)
    def two_at_once(self, given: Settings) -> None:
        with open_store(self.folder), pytest.raises(FolderClosedError):
            small_study.run(self.folder, given, False, self._made)
        self._check("finished")

    @precondition(lambda self: self.whole)
    @rule(data=st.data(), harm=st.sampled_from(["cut", "edited", "removed"]))
    def damage_an_entry(self, data: st.DataObject, harm: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.whole)))
        files = ["record.json", *sorted(self.whole[name].files)]
        self._harm(self.folder / "made" / name / data.draw(st.sampled_from(files)), harm)
        self.whole = run_folder.whole_entries(self.folder)

    @precondition(lambda self: self._views())
    @rule(data=st.data(), harm=st.sampled_from(["cut", "edited", "removed", "replaced"]))
    def damage_a_view(self, data: st.DataObject, harm: str) -> None:
        name = data.draw(st.sampled_from(self._views()))
        view = self.folder / name
        if harm == "replaced":
            view.unlink()
            self.mine[name] = self._write_mine(view)
        else:
            is_copy = view.stat().st_nlink == 1
            self._harm(view, harm)
            if is_copy and harm != "removed":
                self.mine[name] = view.read_bytes()
        self.whole = run_folder.whole_entries(self.folder)

    @precondition(lambda self: (self.folder / "rayred.json").exists())
    @rule(name=st.sampled_from(["notes.txt", *VIEWS, "figures", "made/n.txt", "figures/n.txt"]))
    def put_a_file(self, name: str) -> None:
        path = self.folder / name
        if path.parent.is_dir() and not os.path.lexists(path):
            self.mine[name] = self._write_mine(path)

    @precondition(lambda self: self.whole)
    @rule(data=st.data(), folder=st.sampled_from([".", "subsets", "figures"]))
    def put_a_file_into_an_entry(self, data: st.DataObject, folder: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.whole)))
        path = self.folder / "made" / name / folder / f"notes-{self.number}.txt"
        if path.parent.is_dir():
            self.mine_in_entries.setdefault(name, []).append(self._write_mine(path))

    # How it is done.

    def _run(self, given: Settings, fresh: bool, fault: Fault | None) -> None:
        before, self.last = run_folder.manifest(self.folder), given
        study = run_folder.study(self.folder, given.study)
        self.log.write_bytes(b"")
        ended = self._attempt(lambda: small_study.run(self.folder, given, fresh, self._made), fault)
        since = run_folder.study(self.folder, given.study)["since"]
        goes_on = before["study"] == given.study and study["since"] and not study["finished"]
        over = before["generation"] + 1 if fresh and not goes_on else study["since"]
        assert since in ({over} if ended == "finished" else {over, study["since"]})
        made = self.log.read_text().splitlines()
        again = {name for name in made if self._is_there(name, since)}
        assert not again, f"made again: {again}"
        assert len(made) == len(set(made)), f"made twice: {made}"
        self._check(ended, since)
        if ended == "finished":
            self._check_finished(given)

    def _is_there(self, name: str, since: int) -> bool:
        return name in self.whole and self.whole[name].generation >= since

    def _attempt(self, command: Any, fault: Fault | None) -> str:
        """Run a command, in a process of its own if it may be killed."""
        if fault is None or fault.kind != "kill":
            try:
                with counted_writes(fault, links=self.links):
                    command()
            except RayredError:
                assert fault is not None
                return "failed"
            return "finished"
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with counted_writes(fault, links=self.links):
                    command()
                code = 0
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9), "the run failed"
        return "killed" if code else "finished"

    def _made(self, name: str) -> int:
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, f"{name}\n".encode())
        os.close(descriptor)
        return int.from_bytes(os.urandom(4), "big")

    def _clean_folder(self) -> None:
        with open_store(self.folder) as store:
            remove_unneeded(store, find_unneeded(store))

    def _write_mine(self, path: Path) -> bytes:
        self.number += 1
        content = f"mine {self.number}".encode()
        path.write_bytes(content)
        return content

    def _harm(self, path: Path, harm: str) -> None:
        if harm == "removed":
            path.unlink()
            return
        path.chmod(0o644)
        self.number += 1
        content = path.read_bytes()
        content = content[: len(content) // 2] if harm == "cut" else f"{self.number}".encode()
        path.write_bytes(content)
        self.damaged.add(content)

    # What holds.

    def _current(self) -> dict[str, Any]:
        return run_folder.study(self.folder, run_folder.manifest(self.folder)["study"])

    def _recorded(self) -> set[str]:
        return {path.parent.name for path in (self.folder / "made").glob("*/record.json")}

    def _views(self) -> list[str]:
        return sorted({*run_folder.top_files(self.folder)} & {*VIEWS} - {*self.mine})

    def _check(self, ended: str, since: int = 0) -> None:
        after = run_folder.whole_entries(self.folder)
        half_way = run_folder.whole_entries(self.folder, unnamed=True)
        self._check_kept(after, half_way, since)
        self._check_shown()
        for name, content in self.mine.items():
            assert (self.folder / name).read_bytes() == content
        for name, contents in self.mine_in_entries.items():
            there = [p.read_bytes() for p in (self.folder / "made").rglob("*.txt")]
            for content in contents:
                assert content in there, f"{name}: a file of the user's was removed"
        if ended == "finished":
            assert run_folder.unfinished(self.folder) == []
        self.whole = after

    def _check_kept(self, after: dict[str, Any], half_way: dict[str, Any], since: int) -> None:
        for name, entry in self.whole.items():
            if name in after and after[name].files == entry.files:
                continue
            replacement = after.get(name) or half_way.get(name)
            if replacement is None and since == 0:
                assert name in self.removable, f"{name} is not there any more"
                continue
            assert replacement is not None, f"{name} is not there any more"
            assert entry.generation < since <= replacement.generation, f"{name} was made again"

    def _check_shown(self) -> None:
        told: dict[str, set[str]] = {"rate": set(), "margin": set(), "data": set()}
        files = run_folder.top_files(self.folder)
        for name in self._views():
            if files[name] in self.damaged:
                continue
            content = json.loads(files[name])
            for setting, values in told.items():
                values |= {content[setting]} if setting in content else set()
        assert all(len(values) <= 1 for values in told.values()), f"of more than one: {told}"

    def _check_finished(self, given: Settings) -> None:
        study = self._current()
        assert study["finished"]
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
    max_examples=int(os.environ.get("MACHINE_EXAMPLES", "25")),
    stateful_step_count=12,
    deadline=None,
    derandomize="MACHINE_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)

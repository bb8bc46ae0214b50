import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rayred.errors import FolderClosedError, RayredError, RunFolderError
from rayred.files import replacing, write_json
from rayred.store import (
    CHECKPOINTS,
    MANIFEST,
    Store,
    all_entries,
    check_no_changes,
    find_unneeded,
    json_stage,
    open_store,
    path_stage,
    remove_unneeded,
)

CONFIG = path_stage("config", "config.yaml", Path.write_text, Path.read_text)
TEXT = path_stage("text", "text.txt", Path.write_text, Path.read_text)
FIGURES = path_stage(
    "figures",
    "figures",
    lambda path, text: (path.mkdir(), (path / "a.txt").write_text(text)),
    lambda path: (path / "a.txt").read_text(),
)
TRIAL = json_stage("trial-full-1.0-0", "trial.json", shown=False)


def shown(folder: Path) -> dict[str, str]:
    """The contents of all views, by name."""
    views = [folder / "config.yaml", folder / "text.txt"]
    return {view.name: view.read_text() for view in views if view.exists()}


def study(folder: Path, config: str, text: str, *, fresh: bool = False) -> None:
    """Run a study of two stages to its end."""
    with open_store(folder, make=True) as store:
        store.begin(config, fresh=fresh)
        store.keep(CONFIG, config, lambda: config)
        store.run(TEXT, text, lambda: text)
        store.finish()


def test_a_stage_is_made_once_for_a_key(tmp_path):
    made = []

    def make() -> str:
        made.append(None)
        return f"made {len(made)} times"

    with open_store(tmp_path / "run", make=True) as store:
        first = store.run(TEXT, "key", make)
        again = store.run(TEXT, "key", make)
        assert (first.value, again.value) == ("made 1 times", "made 1 times")
        assert store.run(TEXT, "other", make).value == "made 2 times"
        assert shown(store.path) == {"text.txt": "made 2 times"}
        assert store.run(TEXT, "key", make).value == "made 1 times"
        assert shown(store.path) == {"text.txt": "made 1 times"}
        store.keep(TEXT, "other", make)
        assert shown(store.path) == {"text.txt": "made 2 times"}
    assert first.key == "key"


def test_a_stage_that_fails_leaves_nothing(tmp_path):
    def fail() -> str:
        raise RuntimeError

    def half_write(path: Path, text: str) -> None:
        path.write_text(text)
        raise RuntimeError

    half = path_stage("half", "text.txt", half_write, Path.read_text)
    with open_store(tmp_path / "run", make=True) as store:
        for stage, make in ((TEXT, fail), (half, lambda: "half")):
            with pytest.raises(RuntimeError):
                store.run(stage, "key", make)
            assert shown(store.path) == {}
            assert list(store.made.glob("*")) == []


def test_what_is_written_appears_whole(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def half_write() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_write()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_what_gets_its_name_is_on_the_disk_and_all_that_the_manifest_names(tmp_path, monkeypatch):
    on_disk: set[tuple[int, int]] = set()
    late: list[Path] = []

    def state(status: os.stat_result) -> tuple[int, int]:
        return status.st_ino, status.st_mtime_ns

    def naming(rename: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        def renamed(source: Path, target: Path) -> None:
            needed = [source, *source.rglob("*")]
            if target.name == MANIFEST:
                needed += target.parent.glob("made")
            late.extend(path for path in needed if state(path.stat()) not in on_disk)
            rename(source, target)

        return renamed

    monkeypatch.setattr(os, "fsync", lambda opened: on_disk.add(state(os.fstat(opened))))
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, naming(getattr(os, name)))
    with open_store(tmp_path, make=True) as store:
        store.run(FIGURES, "key", lambda: "text")
        store.finish()
        assert late == []
        assert state(tmp_path.stat()) in on_disk


def test_there_and_back_makes_nothing_twice_and_shows_one_config(tmp_path):
    study(tmp_path, "a", "text of a")
    ours = {path: path.stat().st_mtime_ns for path in (tmp_path / "made").rglob("*")}
    study(tmp_path, "b", "text of b")
    assert shown(tmp_path) == {"config.yaml": "b", "text.txt": "text of b"}
    with open_store(tmp_path) as store:
        store.begin("a")
        assert shown(tmp_path) == {"config.yaml": "a", "text.txt": "text of a"}
        assert store.manifest.current.finished
    assert {path: path.stat().st_mtime_ns for path in ours} == ours


def test_views_are_hard_links_that_cannot_be_written_or_else_copies(tmp_path, monkeypatch):
    study(tmp_path / "linked", "a", "text")
    view = tmp_path / "linked" / "text.txt"
    assert view.samefile(tmp_path / "linked" / "made" / "text-text" / "text.txt")
    assert not view.stat().st_mode & 0o222

    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    study(tmp_path / "copied", "a", "text")
    copy = tmp_path / "copied" / "text.txt"
    assert copy.stat().st_nlink == 1
    before = copy.stat().st_mtime_ns, copy.stat().st_ino
    study(tmp_path / "copied", "a", "text")
    assert (copy.stat().st_mtime_ns, copy.stat().st_ino) == before


def test_a_copied_folder_goes_on(tmp_path):
    study(tmp_path / "run", "a", "text of a")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    study(tmp_path / "copy", "b", "text of b")
    assert shown(tmp_path / "copy") == {"config.yaml": "b", "text.txt": "text of b"}


@pytest.mark.parametrize(
    ("harm", "notice"),
    [
        ("cut", "has 4 bytes instead of 9"),
        ("emptied", "has 0 bytes instead of 9"),
        ("edited", "was changed after it was made"),
        ("removed", "was removed"),
        ("unreadable", "cannot be read"),
    ],
)
def test_what_is_not_whole_is_made_again_with_a_notice(tmp_path, caplog, harm, notice):
    study(tmp_path, "a", "text of a")
    file = tmp_path / "made" / "text-text of a" / "text.txt"
    file.chmod(0o644)
    match harm:
        case "cut":
            os.truncate(file, 4)
        case "emptied":
            os.truncate(file, 0)
        case "edited":
            file.write_text("TEXT OF A")
        case "removed":
            file.unlink()
            (tmp_path / "text.txt").unlink()
        case "unreadable":
            file.unlink()
            file.symlink_to(file)
    store = Store(tmp_path)
    assert not store.has_whole(store.parts)
    assert store.every("text-") == []
    study(tmp_path, "a", "text of a")
    assert shown(tmp_path) == {"config.yaml": "a", "text.txt": "text of a"}
    assert f"{file} {notice}" in caplog.text
    store = Store(tmp_path)
    assert store.has_whole(store.parts)
    assert [entry.key for entry in store.every("text-")] == ["text of a"]


def test_a_file_of_ones_own_at_the_place_of_a_view_stays(tmp_path, caplog):
    study(tmp_path, "a", "text of a")
    (tmp_path / "text.txt").unlink()
    (tmp_path / "text.txt").write_text("mine")
    study(tmp_path, "b", "text of b")
    study(tmp_path, "a", "text of a")
    assert shown(tmp_path) == {"config.yaml": "a", "text.txt": "mine"}
    assert "it stays as it is" in caplog.text
    with open_store(tmp_path) as store:
        current = store.current(TEXT)
        assert current is not None
        assert current.value == "text of a"


def test_no_view_is_written_through_a_link_to_another_folder(tmp_path):
    (tmp_path / "mine").mkdir()
    with open_store(tmp_path / "run", make=True) as store:
        (store / "figures").symlink_to(tmp_path / "mine")
        store.run(FIGURES, "key", lambda: "text")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_folder_of_views_goes_with_the_last_of_them(tmp_path):
    with open_store(tmp_path, make=True) as store:
        store.begin("a")
        store.run(FIGURES, "key", lambda: "text")
        store.begin("b")
        assert not (tmp_path / "figures").exists()
        store.begin("a")
        (tmp_path / "figures" / "mine.txt").write_text("mine")
        store.begin("b")
        assert [path.name for path in (tmp_path / "figures").iterdir()] == ["mine.txt"]


def test_nothing_is_removed_through_a_link_to_another_folder(tmp_path):
    with open_store(tmp_path / "run", make=True) as store:
        store.begin("a")
        store.run(FIGURES, "key", lambda: "text")
        (store / "figures").rename(tmp_path / "mine")
        (store / "figures").symlink_to(tmp_path / "mine")
        store.begin("b")
    assert (tmp_path / "mine" / "a.txt").read_text() == "text"


def test_a_link_of_ones_own_to_the_same_content_stays(tmp_path):
    study(tmp_path / "run", "a", "text of a")
    view = tmp_path / "run" / "text.txt"
    view.rename(tmp_path / "mine.txt")
    view.symlink_to(tmp_path / "mine.txt")
    study(tmp_path / "run", "b", "text of b")
    assert view.readlink() == tmp_path / "mine.txt"
    assert view.read_text() == "text of a"


def test_a_view_with_the_letters_of_a_pattern_in_its_name_is_replaced_when_it_was_cut(tmp_path):
    odd = path_stage("odd", "[1]*.txt", Path.write_text, Path.read_text)
    with open_store(tmp_path, make=True) as store:
        store.run(odd, "key", lambda: "text")
        view = store / "[1]*.txt"
        view.chmod(0o644)
        os.truncate(view, 1)
        assert store.run(odd, "other", lambda: "other text").value == "other text"
        assert view.read_text() == "other text"


def test_a_view_that_was_removed_is_back_when_the_folder_is_opened(tmp_path):
    study(tmp_path, "a", "text of a")
    (tmp_path / "text.txt").unlink()
    with open_store(tmp_path):
        assert shown(tmp_path) == {"config.yaml": "a", "text.txt": "text of a"}


def test_starting_over_replaces_when_the_replacement_stands_and_goes_on(tmp_path):
    study(tmp_path, "a", "text")
    with open_store(tmp_path) as store:
        identity = store.identity
        store.put(TRIAL, "t", {"x": 1})
        store.finish()
        store.track("somewhere")
    made = tmp_path / "made" / "text-text" / "text.txt"
    before = made.stat().st_ino
    with open_store(tmp_path) as store:
        store.begin("a", fresh=True)
        assert store.identity != identity
        assert not store.manifest.current.finished
        assert store.manifest.current.tracked == ()
        assert store.get(TEXT, "text") is None
        assert store.every("text-") == []
        assert store.get(TRIAL, "t") is None
        assert shown(tmp_path) == {"config.yaml": "a", "text.txt": "text"}
        again = store.identity
        store.put(TRIAL, "t", {"x": 2})
    for fresh in (False, True):  # both go on with what was begun
        with open_store(tmp_path) as store:
            store.begin("a", fresh=fresh)
            assert store.identity == again
            assert store.get(TEXT, "text") is None
            kept = store.get(TRIAL, "t")
            assert kept is not None
            assert kept.value == {"x": 2}
    study(tmp_path, "a", "text")
    assert made.stat().st_ino != before
    assert shown(tmp_path) == {"config.yaml": "a", "text.txt": "text"}
    with open_store(tmp_path) as store:
        store.begin("a", fresh=True)
        assert store.identity not in (identity, again)


def test_starting_over_goes_on_with_the_current_study_alone(tmp_path):
    with open_store(tmp_path, make=True) as store:
        store.begin("a", fresh=True)
        identity = store.identity
        store.begin("b")
        store.begin("a", fresh=True)
        assert store.identity != identity


def test_a_study_that_gets_a_part_is_not_finished_and_mlflow_has_not_all_of_it(tmp_path):
    study(tmp_path, "a", "text of a")
    with open_store(tmp_path) as store:
        store.track("somewhere")
        store.take(store.parts)
        assert store.manifest.current.finished
        assert store.manifest.current.tracked == ("somewhere",)
        store.take({TRIAL.name: "t"})
        assert not store.manifest.current.finished
        assert store.manifest.current.tracked == ()


def test_clean_removes_what_the_current_study_has_no_part_in_and_nothing_else(tmp_path):
    study(tmp_path, "a", "text of a")
    study(tmp_path, "b", "text of b")
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "made" / "notes").mkdir()
    shutil.copytree(tmp_path / "made" / "config-a", tmp_path / "made" / "copy")
    mine = tmp_path / "made" / "text-text of a" / "mine.txt"
    mine.write_text("mine")
    with open_store(tmp_path) as store:
        found = find_unneeded(store)
        names = {entry.folder.name for entry in found.entries}
        assert names == {"config-a", "text-text of a"}
        assert found.bytes == len("a") + len("text of a")
        remove_unneeded(store, found)
        assert find_unneeded(store).paths() == []
        assert {*store.manifest.studies} == {"b"}
    assert shown(tmp_path) == {"config.yaml": "b", "text.txt": "text of b"}
    left = {path.name for path in (tmp_path / "made").iterdir()}
    assert left == {"config-b", "text-text of b", "notes", "copy", "text-text of a"}
    assert [path.name for path in mine.parent.iterdir()] == ["mine.txt"]
    assert (tmp_path / "made" / "copy" / "config.yaml").read_text() == "a"
    assert (tmp_path / "mine.txt").exists()


def test_clean_removes_checkpoints_of_other_studies_of_the_folder(tmp_path):
    for config in ("a", "b"):
        study(tmp_path, config, "text")
        with open_store(tmp_path) as store:
            checkpoints = store.place(CHECKPOINTS)
            (checkpoints / store.identity).mkdir(parents=True)
            (checkpoints / store.identity / "step").write_text("12345")
    (checkpoints / "of-another-folder").mkdir()
    with open_store(tmp_path) as store:
        found = find_unneeded(store)
        assert found.bytes == len("a") + len("12345")
        remove_unneeded(store, found)
        assert {path.name for path in checkpoints.iterdir()} == {
            store.identity,
            "of-another-folder",
        }


def test_clean_keeps_the_environments_that_what_stays_was_made_in(tmp_path):
    environments = []
    for cpus in (1, 2, 3):
        with open_store(tmp_path, {"cpus": cpus}, make=True) as store:
            store.begin("a")
            if cpus < 3:
                environments.append(store.run(TEXT, str(cpus), lambda: "text").environment)
            store.finish()
    with open_store(tmp_path) as store:
        remove_unneeded(store, find_unneeded(store))
        kept = all_entries(store.made, "environment-")
        assert {entry.key for entry in kept} == {*environments}


def test_clean_removes_nothing_beside_a_study_that_is_not_finished(tmp_path):
    study(tmp_path, "a", "text of a")
    with open_store(tmp_path) as store:
        store.begin("b")
        assert find_unneeded(store).paths() == []


def test_entries_name_the_environment_that_they_were_made_in(tmp_path):
    with open_store(tmp_path, {"cpus": 2}, make=True) as store:
        store.begin("a")
        first = store.run(TEXT, "a", lambda: "a").environment
    with open_store(tmp_path, {"cpus": 4}) as store:
        store.begin("a")
        assert store.run(TEXT, "a", lambda: "a").environment == first
        assert store.run(TEXT, "b", lambda: "b").environment != first
        assert store.parts["environment"] == first


def test_another_config_is_refused_and_the_changes_are_named(tmp_path):
    changes = ["seed (0 there, 3 now)", "train.lr (0.1 there, 0.2 now)"]
    with pytest.raises(RunFolderError) as raised:
        check_no_changes(tmp_path, changes)
    for text in (*changes, "--update"):
        assert text in str(raised.value)
    check_no_changes(tmp_path, [])


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    (tmp_path / "identity").write_text("x")
    with (
        pytest.raises(RunFolderError, match=r"no run folder \(it holds 'identity'\)"),
        open_store(tmp_path, make=True),
    ):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"precious.txt", "identity"}


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ({"format": 1, "folder": "x", "study": "", "made": []}, "another version of rayred"),
        ([], "another version of rayred"),
        ({"format": 2}, "the manifest is damaged"),
    ],
)
def test_a_folder_of_another_version_is_refused(tmp_path, manifest, message):
    write_json(tmp_path / "rayred.json", manifest)
    with pytest.raises(RunFolderError, match=message), open_store(tmp_path, make=True):
        pass
    with pytest.raises(RunFolderError, match=message):
        Store(tmp_path)


def test_a_name_that_rayred_has_not_put_there_is_not_written(tmp_path):
    with open_store(tmp_path, make=True) as store:
        (store / "ray").mkdir()
        with pytest.raises(RunFolderError, match="not rayred's"):
            store.place("ray")
        store.remove("ray")
        assert (store / "ray").exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "run", Path("/proc/rayred")):
        with (
            pytest.raises(RunFolderError, match=r"cannot (read|write) the (run )?folder"),
            open_store(path, make=True),
        ):
            pass


def test_no_space_is_said_with_the_folder(tmp_path):
    def save(path: Path, text: str) -> None:
        del path
        with Path("/dev/full").open("w") as full:
            full.write(text)

    full = path_stage("full", "text.txt", save, Path.read_text)
    with (
        pytest.raises(RayredError, match=f"no space left in {tmp_path}"),
        open_store(tmp_path, make=True) as store,
    ):
        store.run(full, "key", lambda: "text")
    assert list((tmp_path / "made").glob("*")) == []
    study(tmp_path, "a", "text of a")


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EFBIG])
def test_a_full_quota_and_the_largest_file_are_no_space_either(tmp_path, number):
    with (
        pytest.raises(RayredError, match="no space left"),
        open_store(tmp_path, make=True),
    ):
        raise OSError(number, os.strerror(number))


def test_a_second_run_on_one_folder_refuses(tmp_path):
    code = (
        "import time\n"
        "from rayred.store import open_store\n"
        "from pathlib import Path\n"
        f"with open_store(Path({str(tmp_path / 'run')!r}), make=True):\n"
        "    print('open', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with (
            pytest.raises(FolderClosedError, match="another rayred is at work"),
            open_store(tmp_path / "run"),
        ):
            pass
        other.kill()
    with open_store(tmp_path / "run"):
        pass

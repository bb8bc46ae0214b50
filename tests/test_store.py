import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from rayred.errors import RunFolderError
from rayred.files import replacing, write_json
from rayred.store import Stage, open_store


def text_stage() -> Stage[str, str]:
    def save(path: Path, text: str) -> None:
        path.write_text(text)

    return Stage("text", "text.txt", save, Path.read_text)


def open_folder(path: Path, changes: Sequence[str] = (), **choice: bool):
    return open_store(path, "dataset: digits\n", lambda: changes, **choice)


def test_a_stage_is_made_once_for_a_key(tmp_path):
    made = []

    def make() -> str:
        made.append(None)
        return f"made {len(made)} times"

    with open_folder(tmp_path / "run") as store:
        first = store.run(text_stage(), "key", make)
        again = store.run(text_stage(), "key", make)
        assert (first.value, again.value) == ("made 1 times", "made 1 times")
        assert store.run(text_stage(), "other", make).value == "made 2 times"
    assert first.key == "key"


def test_a_stage_that_fails_leaves_nothing(tmp_path):
    def fail() -> str:
        raise RuntimeError

    with open_folder(tmp_path / "run") as store:
        with pytest.raises(RuntimeError):
            store.run(text_stage(), "key", fail)
        assert not (store / "text.txt").exists()


def test_small_results_are_kept_by_name_and_key(tmp_path):
    with open_folder(tmp_path / "run") as store:
        store.keep("trials", "full-1.0-0", "aa", {"x": 1})
        store.keep("trials", "full-1.0-0", "bb", {"x": 2})
        assert store.kept("trials", "full-1.0-0", "aa") == {"x": 1}
        assert store.kept("trials", "full-1.0-0", "cc") is None
        assert store.all_kept("trials") == {"aa": {"x": 1}, "bb": {"x": 2}}


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


def test_another_config_is_refused_and_the_changes_are_named(tmp_path):
    with open_folder(tmp_path / "run"):
        pass
    with (
        pytest.raises(RunFolderError) as raised,
        open_folder(tmp_path / "run", ["seed (0 there, 3 now)", "train.lr (0.1 there, 0.2 now)"]),
    ):
        pass
    for text in ("seed (0 there, 3 now)", "train.lr (0.1 there, 0.2 now)", "--fresh", "--update"):
        assert text in str(raised.value)


def test_update_goes_on_and_fresh_removes_what_the_manifest_lists(tmp_path):
    with open_folder(tmp_path / "run") as store:
        store.begin("study")
        store.run(text_stage(), "key", lambda: "kept")
        store.place("trials").mkdir()
        identity = store.identity
    with open_folder(tmp_path / "run", ["seed"], update=True) as store:
        assert (store / "text.txt").exists()
        assert store.identity == identity
        store.begin("other study")
        assert store.identity != identity
        store.begin("study")
        assert store.identity == identity
    (tmp_path / "run" / "mine.txt").write_text("not rayred's")
    (tmp_path / "run" / "images").mkdir()
    with open_folder(tmp_path / "run", ["seed"], fresh=True) as store:
        assert not (store / "trials").exists()
        assert not (store / "text.txt").exists()
        assert (store / "mine.txt").exists()
        assert (store / "images").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    (tmp_path / "identity").write_text("x")
    for choice in ({}, {"fresh": True}, {"update": True}):
        with (
            pytest.raises(RunFolderError, match=r"no run folder \(it holds 'identity'\)"),
            open_folder(tmp_path, **choice),
        ):
            pass
    assert (tmp_path / "precious.txt").exists()


def test_a_folder_of_another_version_is_refused(tmp_path):
    with open_folder(tmp_path / "run") as store:
        write_json(store / "rayred.json", {"format": 0})
    with (
        pytest.raises(RunFolderError, match="written by another version of rayred"),
        open_folder(tmp_path / "run", fresh=True),
    ):
        pass


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "run", Path("/proc/rayred")):
        with (
            pytest.raises(RunFolderError, match="cannot write the run folder"),
            open_folder(path),
        ):
            pass


def test_a_second_run_on_one_folder_refuses(tmp_path):
    code = (
        "import time\n"
        "from rayred.store import open_store\n"
        "from pathlib import Path\n"
        f"with open_store(Path({str(tmp_path / 'run')!r}), '', list):\n"
        "    print('open', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with (
            pytest.raises(RunFolderError, match="another rayred is at work"),
            open_folder(tmp_path / "run"),
        ):
            pass
        other.kill()
    with open_folder(tmp_path / "run"):
        pass


def test_a_folder_that_was_killed_while_it_was_made_can_be_used(tmp_path):
    with open_folder(tmp_path / "run") as store:
        identity = store.identity
    (tmp_path / "run" / "config.yaml").unlink()
    half = tmp_path / "run" / f".config.yaml.{'0' * 32}.yaml"
    half.write_text("dataset: di")
    with open_folder(tmp_path / "run") as store:
        assert store.identity == identity
    assert not half.exists()

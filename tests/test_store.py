import subprocess
import sys
import time
from pathlib import Path

import pytest

from rayred.config import Experiment
from rayred.config.file import parse_experiment
from rayred.errors import RunFolderError
from rayred.store import Stage, open_run_folder, replacing


def text_stage(version: int = 1) -> Stage[str, str]:
    def save(path: Path, text: str) -> None:
        path.write_text(text)

    return Stage("text", "text.txt", version, save, Path.read_text)


def experiment(**settings: object) -> Experiment:
    return parse_experiment({"dataset": "digits", **settings}, "study.yaml")


def test_a_stage_is_made_once_for_the_same_inputs(tmp_path):
    made = []

    def make(key: str) -> str:
        made.append(key)
        return f"made {len(made)} times"

    with open_run_folder(tmp_path / "run", experiment()) as folder:
        first = folder.run(text_stage(), {"x": 1}, make)
        again = folder.run(text_stage(), {"x": 1}, make)
        assert (first.value, again.value) == ("made 1 times", "made 1 times")
        assert folder.run(text_stage(), {"x": 2}, make).value == "made 2 times"
        assert folder.run(text_stage(2), {"x": 2}, make).value == "made 3 times"
    assert made[0] == first.key == again.key


def test_a_stage_that_fails_leaves_nothing(tmp_path):
    def fail(_: str) -> str:
        raise RuntimeError

    with open_run_folder(tmp_path / "run", experiment()) as folder:
        with pytest.raises(RuntimeError):
            folder.run(text_stage(), {}, fail)
        assert not (folder / "text.txt").exists()


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


def test_another_config_is_refused_and_the_keys_are_named(tmp_path):
    with open_run_folder(tmp_path / "run", experiment()):
        pass
    changed = experiment(seed=3, train={"lr": 0.2})
    with (
        pytest.raises(RunFolderError) as raised,
        open_run_folder(tmp_path / "run", changed),
    ):
        pass
    for text in ("seed (0 there, 3 now)", "train.lr (0.1 there, 0.2 now)", "--fresh", "--update"):
        assert text in str(raised.value)


def test_other_intervals_of_checkpoints_are_the_same_study(tmp_path):
    with open_run_folder(tmp_path / "run", experiment()) as folder:
        first = folder.identity
    often = experiment(train={"checkpoint_minutes": 1, "checkpoint_steps": 50})
    with open_run_folder(tmp_path / "run", often) as folder:
        assert folder.identity == first
        assert "checkpoint_steps: 50" in (folder / "config.yaml").read_text()


def test_update_goes_on_and_fresh_starts_over(tmp_path):
    with open_run_folder(tmp_path / "run", experiment()) as folder:
        folder.run(text_stage(), {}, lambda _: "kept")
        identity = folder.identity
    with open_run_folder(tmp_path / "run", experiment(seed=3), update=True) as folder:
        assert (folder / "text.txt").exists()
        assert folder.identity != identity
    (tmp_path / "run" / "mine.txt").write_text("not rayred's")
    (tmp_path / "run" / "trials").mkdir()
    with open_run_folder(tmp_path / "run", experiment(seed=4), fresh=True) as folder:
        assert not (folder / "trials").exists()
        assert (folder / "mine.txt").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    for fresh in (False, True):
        with (
            pytest.raises(RunFolderError, match=r"holds 'precious\.txt'"),
            open_run_folder(tmp_path, experiment(), fresh=fresh),
        ):
            pass
    assert (tmp_path / "precious.txt").exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "run", Path("/proc/rayred")):
        with (
            pytest.raises(RunFolderError, match="cannot write the run folder"),
            open_run_folder(path, experiment()),
        ):
            pass


def test_a_second_run_on_one_folder_refuses(tmp_path):
    code = (
        "import time\n"
        "from rayred.config.file import parse_experiment\n"
        "from rayred.store import open_run_folder\n"
        "from pathlib import Path\n"
        "study = parse_experiment({'dataset': 'digits'}, 'x')\n"
        f"with open_run_folder(Path({str(tmp_path / 'run')!r}), study):\n"
        "    print('open', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with (
            pytest.raises(RunFolderError, match="another rayred is at work"),
            open_run_folder(tmp_path / "run", experiment()),
        ):
            pass
        other.kill()
    time.sleep(0.1)
    with open_run_folder(tmp_path / "run", experiment()):
        pass


def test_a_foreign_config_does_not_make_a_run_folder(tmp_path):
    (tmp_path / "config.yaml").write_text("mine: true")
    (tmp_path / "images").mkdir()
    for choice in ({}, {"fresh": True}, {"update": True}):
        with (
            pytest.raises(RunFolderError, match="no run folder"),
            open_run_folder(tmp_path, experiment(), **choice),
        ):
            pass
    assert (tmp_path / "images").exists()
    assert (tmp_path / "config.yaml").read_text() == "mine: true"


def test_a_folder_that_was_killed_while_it_was_made_can_be_used(tmp_path):
    with open_run_folder(tmp_path / "run", experiment()) as folder:
        identity = folder.identity
    (tmp_path / "run" / "config.yaml").unlink()
    half = tmp_path / "run" / f".config.yaml.{'0' * 32}.yaml"
    half.write_text("dataset: di")
    with open_run_folder(tmp_path / "run", experiment()) as folder:
        assert folder.identity == identity
    assert not half.exists()


def test_an_empty_config_is_said(tmp_path):
    with open_run_folder(tmp_path / "run", experiment()):
        pass
    (tmp_path / "run" / "config.yaml").write_text("")
    with (
        pytest.raises(RunFolderError, match="holds no settings; start over with --fresh"),
        open_run_folder(tmp_path / "run", experiment()),
    ):
        pass

"""A folder full of a user's files, before and after every command: nothing of it is another.

Content, mode, inode and time of all files and folders are compared, whatever a command's exit code.
Something new may appear in the outputs alone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import pytest

from tests.conftest import rayred_here, write_experiment
from tests.data.examples import structs, write_images, write_parquet
from tests.faults.snapshots import Snapshot, changes, snapshot

OUTPUTS = ("out", "runs/new", "root", "dots")
LIKE_OURS = (
    *("config.yaml", "results.json", "results.parquet", "report.html", "left-out.csv", "identity"),
    *("rayred.json", "kept.npy", "groups.parquet", "trees.npz", "embeddings.npy", "mlflow.db"),
    *(".lock", ".gitignore", f".config.yaml.{'0' * 32}.yaml", f".images.{'0' * 32}", "images"),
)
FOLDERS_LIKE_OURS = ("figures", "subsets", "trials", "stages", "ray", "mlartifacts", "mlruns")
ODD_NAMES = ("-", " ", "a\nb", "ä", "*", "[x]", "%20", "~", os.fsdecode(b"\xff"), "\N{CAT}" * 60)


class Home(NamedTuple):
    folder: Path
    before: Snapshot


def write_everything(folder: Path) -> None:
    """Write files of all kinds into a folder of the user's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*LIKE_OURS, *ODD_NAMES):
        (folder / name).write_text(f"mine: {name!a}\n")
    for name in FOLDERS_LIKE_OURS:
        (folder / name).mkdir()
        (folder / name / "mine").write_text("mine")
    (folder / "empty").mkdir()
    (folder / "read-only").write_text("mine")
    (folder / "read-only").chmod(0o444)
    (folder / "closed").mkdir()
    (folder / "closed" / "mine").write_text("mine")
    (folder / "closed").chmod(0o555)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "figures.npy").mkdir()
    (folder / "figures.npy" / "mine").write_text("mine")
    (folder / "folder.npy").symlink_to("figures.npy")
    os.mkfifo(folder / "pipe.npy")
    (folder / "hard").hardlink_to(folder / "read-only")
    for name, target in (
        ("up", ".."),
        ("file", "run.sh"),
        ("gone", "nothing"),
        ("circle", "circle"),
    ):
        (folder / f"link-{name}").symlink_to(target)
    os.mkfifo(folder / "pipe")


def write_home(home: Path) -> None:
    """Write the user's data sets, embeddings and experiment, and other files around them."""
    write_everything(home / "album")
    write_everything(home / "runs")
    (home / "dots").mkdir()
    for name in (".lock", ".notes", ".DS_Store"):
        (home / "dots" / name).write_text("mine")
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write_images(home / "pets" / split / name, 6, size=(8, 8))
            (home / "pets" / split / name / ".DS_Store").write_text("mine")
            (home / "pets" / split / name / "notes.txt").write_text("mine")
            (home / "pets" / split / name / "gone.png").symlink_to("nothing.png")
    write_everything(home / "pets" / "train" / "dog")
    write_images(home / "linked", 2, size=(8, 8))
    (home / "pets" / "train" / "cat" / "linked").symlink_to(home / "linked")
    (home / "pets" / "train" / "cat" / "0.png").chmod(0o444)
    (home / "data").mkdir()
    for part in ("a", "b"):
        labels = ["cat", "cat", "dog", "dog"]
        write_parquet(home / "data" / f"{part}.parquet", structs(1, 2, 3, 4), labels)
    rows = {"image": structs(1, 2, 3, 4), "label": ["cat", "cat", "dog", "dog"]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features).save_to_disk(home / "saved")
    rng = np.random.default_rng(0)
    for n in (8, 14):
        np.save(home / f"x{n}.npy", rng.normal(size=(n, 4)))
        np.save(home / f"y{n}.npy", np.arange(n) % 2)
    (home / "out").mkdir()
    (home / "new.npy").symlink_to("out/target.npy")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The user's folder, which is the current one."""
    folder = tmp_path_factory.mktemp("home")
    write_home(folder)
    write_experiment(
        folder / "study.yaml",
        name="new",
        dataset="folder:pets",
        data={"root": "root"},
        train={"steps": 2, "batch_size": 4},
        sweep={"fractions": [1.0, 0.5], "selectors": ["semantic"], "trials": 1},
    )
    with socket.socket(socket.AF_UNIX) as listening, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        listening.bind("socket")  # a relative path: those of sockets are short
        before = look(folder)
        assert len(before) > 200
        yield Home(folder, before)
    for closed in folder.rglob("closed"):
        closed.chmod(0o755)  # so that pytest can remove it


def look(folder: Path) -> Snapshot:
    return snapshot(folder, new_in=[folder, folder / "runs", folder / "out", folder / "dots"])


def check(home: Home, *arguments: str, code: int | None = 0) -> None:
    """Run a command, and compare the user's folder with what it was at first."""
    done = rayred_here(*arguments)
    after = look(home.folder)
    assert changes(home.before, after) == []
    outputs = tuple(str(home.folder / name) for name in OUTPUTS)
    assert [
        path for path in after if path not in home.before and not path.startswith(outputs)
    ] == []
    assert code in (None, done.returncode), done.stderr
    assert "Traceback" not in done.stderr


PRUNE = ("prune", "folder:pets", "--keep", "0.5", "--embeddings", "x14.npy")
ROOT = ("--set", "data.root=root")


@pytest.mark.usefixtures("cluster")
def test_a_study_and_all_that_looks_at_it(home):
    run = ("run", "study.yaml")
    check(home, *run)
    check(home, *run)  # goes on: nothing is left to do
    check(home, "run", "runs/new/config.yaml")
    check(home, *run, "--set", "verdict.margin=7.0", code=2)
    check(home, *run, "--set", "verdict.margin=7.0", "--update")
    check(home, "results", "runs/new")
    check(home, "report", "runs/new")
    check(home, "upload", "runs/new")
    check(home, "upload", "runs/new", "--uri", "sqlite:///out/mlflow.db")
    check(home, *run, "--fresh")


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("link", ["copy", "hard", "symlink"])
def test_prune(home, link):
    out = ("--out", f"out/{link}", "--link", link)
    check(home, *PRUNE, *out, *ROOT)
    check(home, *PRUNE, *out, *ROOT, "--fresh")
    if link == "hard":  # the way with which an original could be written through its link
        check(home, *PRUNE, *out, *ROOT, "--update", "--set", "seed=1")


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("dataset", ["parquet:data/*.parquet", "parquet:data", "hf:data"])
def test_prune_of_tables(home, dataset):
    number = len(list(Path("out").iterdir()))
    out = ("--out", f"out/table-{number}")
    check(home, "prune", dataset, "--keep", "0.5", "--embeddings", "x8.npy", *out, *ROOT)


@pytest.mark.usefixtures("cluster")
def test_prune_into_a_folder_of_hidden_files(home):
    check(home, *PRUNE, "--out", "dots", *ROOT)


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet"])
def test_cluster(home, ending):
    rest = ("--labels", "y8.npy", "--keep", "0.5", "--out", f"out/kept{ending}")
    check(home, "cluster", "x8.npy", *rest)
    check(home, "cluster", "x8.npy", *rest)


@pytest.mark.parametrize("again", [[], ["--fresh"], ["--update"]], ids=["", "fresh", "update"])
@pytest.mark.parametrize(
    "out", ["album", "runs", ".", "pets", "pets/small", "study.yaml", "album/images", "album/pipe",
            "album/link-gone", "album/link-up", "album/link-circle", "album/closed", "socket", "/"]
)  # fmt: skip
def test_a_folder_of_the_users_is_no_output(home, out, again):
    check(home, *PRUNE, "--out", out, *ROOT, *again, code=2)
    check(home, "run", "study.yaml", "--out", out, *again, code=2)


@pytest.mark.parametrize(
    "out", ["x8.npy", "album/figures.npy", "new.npy", "album/pipe.npy", "album/folder.npy"]
)
def test_what_is_there_is_no_output_of_cluster(home, out):
    check(home, "cluster", "x8.npy", "--labels", "y8.npy", "--keep", "1", "--out", out, code=2)


@pytest.mark.parametrize("command", ["results", "report", "upload"])
@pytest.mark.parametrize("folder", ["album", "pets", ".", "study.yaml", "album/pipe"])
def test_a_folder_of_the_users_is_no_run_folder(home, command, folder):
    check(home, command, folder, code=2)


def test_what_takes_no_files(home):
    check(home, "experiments")
    check(home, "prune", "folder:album", "--keep", "1", "--out", "out/none", *ROOT, code=2)
    check(home, "run", "album/config.yaml", code=2)

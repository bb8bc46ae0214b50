"""An output that is, lies in or holds what is read is refused before anything happens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from rayred.config import Experiment
from rayred.errors import ConfigError
from rayred.files import replacing
from rayred.outputs import Sources, check_output
from rayred.pipeline import run
from rayred.places import check_experiment_file, check_places
from tests.conftest import rayred_here, write_experiment
from tests.data.examples import structs, write_images, write_parquet
from tests.faults.snapshots import snapshot


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: data sets of every kind, and links to them."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        write_images(Path("pets", name), 4, size=(8, 8))
    Path("alias").symlink_to("pets")
    for folder in ("data", "data/a", "data/b"):
        Path(folder).mkdir()
        write_parquet(Path(folder, "x.parquet"), structs(1, 2), ["a", "b"])
    write_images(Path("elsewhere", "cats"), 2)
    Path("linked", "deep").mkdir(parents=True)
    Path("linked", "deep", "cat").symlink_to(Path("elsewhere", "cats").absolute())
    Path("saved").mkdir()
    Path("saved", "state.json").write_text("{}")
    Path("root").mkdir()
    # An earlier output, and a data set of links into it.
    write_images(Path("small", "images", "cat"), 2)
    Path("small", "rayred.json").write_text(
        json.dumps({"format": 1, "folder": "f", "study": "s", "made": ["images"]})
    )
    Path("of_links", "cat").mkdir(parents=True)
    Path("of_links", "cat", "0.png").symlink_to(Path("small/images/cat/0.png").absolute())
    Path("nowhere").symlink_to("gone")
    Path("vectors").mkdir()
    np.save("vectors/x.npy", np.ones((8, 4)))
    return tmp_path


REFUSED = [
    ("folder:pets", "pets", "is "),
    ("folder:pets", "pets/", "is "),
    ("folder:pets", "pets/small", "lies in "),
    ("folder:pets", "pets/cat/deep/small", "lies in "),
    ("folder:pets", "x/../pets/small", "lies in "),
    ("folder:pets", ".", "holds "),
    ("folder:pets", "/", "holds "),
    ("folder:pets", "alias", "is "),
    ("folder:pets", "alias/small", "lies in "),
    ("folder:alias", "pets/small", "lies in "),
    ("folder:alias/../pets", "pets/small", "lies in "),
    ("folder:linked", "elsewhere/cats/small", "lies in "),
    ("folder:linked", "elsewhere", "holds "),
    ("folder:pets", "nowhere", "is a link that leads nowhere"),
    ("folder:small/images", "small", "holds "),
    ("folder:of_links", "small", "holds "),
    ("parquet:data", "data/c", "lies in "),
    ("parquet:data/x.parquet", "data", "holds "),
    ("parquet:data/x.parquet", "data/x.parquet", "is "),
    ("parquet:data/*.parquet", "data", "holds "),
    ("parquet:data/*", "data/c", "would read"),
    ("parquet:data/*/*.parquet", "data/c", "would read"),
    ("parquet:d*/[ab]/*.parquet", "data/a", "holds "),
    ("parquet:data/**/*.parquet", "data/c/d", "would read"),
    ("parquet:alias/../data/**/*.parquet", "data/c/d", "would read"),
    ("hf:saved", "saved/small", "lies in "),
    ("hf:mnist", "mnist", "is "),
    ("cifar10", "root/small", "lies in "),
    ("imagenet", "root", "is "),
]


@pytest.mark.parametrize(("dataset", "out", "message"), REFUSED)
def test_prune_refuses_an_output_at_its_source(world, dataset, out, message):
    before = snapshot(world)
    root = "data.root=root" if ":" not in dataset else "seed=0"
    arguments = ["--keep", "0.5", "--out", out, "--set", root, "--fresh"]
    done = rayred_here("prune", dataset, *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"rayred: --out {Path(out)}: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert snapshot(world) == before


@pytest.mark.parametrize(("dataset", "out", "message"), REFUSED)
def test_run_refuses_an_output_at_its_source(world, dataset, out, message):
    before = snapshot(world)
    data = {"root": "root"} if ":" not in dataset else {"test": "digits"}
    experiment = Experiment.model_validate({"dataset": dataset, "data": data})
    with pytest.raises(ConfigError, match=message):
        run(experiment, out, fresh=True)
    assert snapshot(world) == before


@pytest.mark.parametrize(
    ("dataset", "data", "out"),
    [
        ("folder:elsewhere", {"test": "folder:pets"}, "pets/test"),
        ("parquet:data/a/*.parquet", {"test": "parquet:data/b/*.parquet"}, "data/b"),
        ("parquet:data/a/*.parquet", {"test": "data/b/*.parquet"}, "data/b"),
        ("hf:gone", {"test": "hf:saved"}, "saved/small"),
    ],
)
def test_run_refuses_an_output_at_its_test_split(world, dataset, data, out):
    path = write_experiment(world / "study.yaml", dataset=dataset, data=data)
    before = snapshot(world)
    done = rayred_here("run", path, "--out", out, "--fresh")
    assert done.returncode == 2
    assert "which is read" in done.stderr
    assert snapshot(world) == before


@pytest.mark.parametrize(
    ("dataset", "setting", "value"),
    [
        ("folder:pets", "data.root", "pets"),
        ("folder:root/scans", "data.root", "root"),
        ("parquet:root/parquet/*.parquet", "data.root", "root"),
        ("folder:pets", "storage", "pets"),
        ("folder:pets", "storage", "alias/deep"),
        ("folder:pets", "tracking.uri", "sqlite:///pets/mlflow.db"),
    ],
)
def test_other_places_that_are_written_are_no_sources(world, dataset, setting, value):
    Path("root/scans").mkdir()
    Path("root/parquet").mkdir()
    write_parquet(Path("root/parquet/x.parquet"), structs(1, 2), ["a", "b"])
    before = snapshot(world)
    done = rayred_here(
        "prune", dataset, "--keep", "0.5", "--out", "out", "--set", f"{setting}={value}"
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"rayred: {setting} ")
    assert done.stderr.endswith(f"; choose another {setting}\n")
    assert snapshot(world) == before


def test_mlflow_of_the_environment_is_no_source(world, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{world}/pets/mlflow.db")
    done = rayred_here("prune", "folder:pets", "--keep", "0.5", "--out", "out")
    assert done.returncode == 2
    assert "tracking.uri" in done.stderr


@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
def test_prune_refuses_to_write_over_its_embeddings(world, link):
    given = Path("vectors/x.npy")
    if link == "symbolic":
        given = Path("other.npy")
        given.symlink_to("vectors/x.npy")
    elif link == "hard":
        Path("vectors2").mkdir()
        given = Path("vectors2/x.npy")
        given.hardlink_to("vectors/x.npy")
    out = "vectors2" if link == "hard" else "vectors"
    before = snapshot(world)
    done = rayred_here(
        "prune", "folder:pets", "--keep", "0.5", "--out", out, "--embeddings", given, "--fresh"
    )
    assert done.returncode == 2
    assert f"--out {out}: holds {given}, which is read" in done.stderr
    assert snapshot(world) == before


def test_run_refuses_a_folder_at_its_experiment_file(world):
    path = write_experiment(world / "study.yaml")
    before = snapshot(world)
    for out, message in [(path, "is "), (path / "runs", "lies in "), (world, "holds ")]:
        done = rayred_here("run", path, "--out", out, "--fresh")
        assert done.returncode == 2
        assert message in done.stderr
        with pytest.raises(ConfigError, match=message):
            run(path, out, fresh=True)
    assert snapshot(world) == before


def test_a_run_may_go_on_by_the_config_in_its_folder(world):
    check_experiment_file(world / "runs" / "pets" / "config.yaml", Path("runs/pets"))


@pytest.mark.parametrize(
    ("dataset", "out"),
    [
        ("folder:pets", "smaller"),
        ("folder:pets", "petstore"),
        ("folder:pets/../small/images", "small2"),
        ("folder:linked", "elsewhere/small"),
        ("parquet:data/*.parquet", "data/c"),
        ("parquet:*.parquet", "c"),
        ("parquet:data/[ab]/*.parquet", "data/c"),
        ("parquet:s3://bucket/data/*.parquet", "data"),
        ("hf:saved", "smaller"),
        ("hf:uoft-cs/cifar10", "cifar10"),
        ("digits", "root/small"),
    ],
)
def test_an_output_elsewhere_is_not_refused(world, dataset, out):
    data = {"root": str(world / "root")} | ({"test": "digits"} if ":" in dataset else {})
    settings = {"dataset": dataset, "data": data, "storage": str(world)}
    check_places(Experiment.model_validate(settings), Path(out), Path("vectors/x.npy"))


def vectors() -> tuple[Path, Path]:
    np.save("x.npy", np.random.default_rng(0).normal(size=(20, 4)))
    np.save("y.npy", np.zeros(20, int))
    return Path("x.npy"), Path("y.npy")


def make_link(kind: str, to: str) -> str:
    if kind == "symbolic":
        Path("z.npy").symlink_to(to)
    elif kind == "hard":
        Path("z.npy").hardlink_to(to)
    elif kind == "folder":
        Path("here").symlink_to(".")
    spelled = {"": to, "dots": f"./gone/../{to}", "slash": f"{to}/", "folder": f"here/{to}"}
    return spelled.get(kind, "z.npy")


@pytest.mark.parametrize("kind", ["", "dots", "slash", "folder", "symbolic", "hard"])
@pytest.mark.parametrize("to", ["x.npy", "y.npy"])
def test_cluster_refuses_to_write_over_its_input(world, kind, to):
    x, y = vectors()
    out = make_link(kind, to)
    before = snapshot(world)
    done = rayred_here("cluster", x, "--labels", y, "--keep", "0.5", "--out", out)
    assert done.returncode == 2
    assert (
        done.stderr == f"rayred: --out {Path(out)}: is {to}, which is read; choose another --out\n"
    )
    assert snapshot(world) == before


@pytest.mark.parametrize("kind", ["folder", "link", "nowhere", "circle", "pipe", "below a file"])
def test_cluster_refuses_to_write_where_no_file_is(world, kind):
    x, y = vectors()
    out = Path("out.parquet")
    if kind == "folder":
        out.mkdir()
        (out / "part-0.parquet").write_text("precious")
    elif kind == "pipe":
        os.mkfifo(out)
    elif kind == "below a file":
        out = Path("study.yaml/out.parquet")
        Path("study.yaml").write_text("")
    else:
        out.symlink_to({"link": "data", "nowhere": "gone", "circle": out}[kind])
    before = snapshot(world)
    done = rayred_here("cluster", x, "--labels", y, "--keep", "0.5", "--out", out)
    assert done.returncode == 2
    assert done.stderr.startswith(f"rayred: --out {out}: ")
    assert len(done.stderr.splitlines()) == 1
    assert snapshot(world) == before


@pytest.mark.parametrize("name", ["a\nb", os.fsdecode(b"\xff"), "-", " "])
def test_names_of_all_kinds_are_compared(world, name):
    folder = world / name
    folder.mkdir()
    with pytest.raises(ConfigError):
        check_output(folder / "small", Sources((Path(name),)))
    with pytest.raises(ConfigError):
        check_output(folder / "small", Sources(patterns=(f"{folder}/**/*.parquet",)))


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_file_never_takes_the_place_of_a_folder(world, kind):
    target = Path("target")
    target.mkdir()
    (target / "precious").write_text("1")
    if kind == "link":
        target = Path("to_target")
        target.symlink_to("target")
    before = snapshot(world)
    with (
        pytest.raises(ConfigError, match="is a folder; a file is to be written there"),
        replacing(target) as temporary,
    ):
        temporary.write_text("2")
    after = snapshot(world)
    assert after.pop(str(world)) != before.pop(str(world))  # the time of the folder itself
    assert after == before


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_folder_takes_the_place_of_nothing_but_a_folder(world, kind):
    target = Path("target")
    if kind == "file":
        target.write_text("precious")
    else:
        target.symlink_to("pets")
    with (
        pytest.raises(ConfigError, match="is no folder; a folder is to be written there"),
        replacing(target) as temporary,
    ):
        temporary.mkdir()
    assert target.is_symlink() == (kind == "link")
    assert kind == "link" or target.read_text() == "precious"
    assert len(list(Path("pets").iterdir())) == 2
    assert not list(world.glob(".*"))

"""Every bad input of the command line: exit code 2 and one message, no traceback.

What needs no Ray is called within this process, which is quick; the rest is a command of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import rayred, rayred_here, write_experiment
from tests.data.examples import write_images

Refused = Callable[..., str]


@pytest.fixture
def refused() -> Refused:
    """Runs a command, checks that it ends with exit code 2, and returns its message."""

    def run(*arguments: str | Path) -> str:
        done = rayred_here(*arguments)
        assert done.returncode == 2, done.stderr
        return done.stderr

    return run


def check(done, *messages: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for message in messages:
        assert message in done.stderr


@pytest.mark.parametrize(
    ("override", "messages"),
    [
        ("modle=resnet8", ["modle: unknown key; did you mean 'model'?"]),
        ("train.steps=many", ["train.steps: 'many': "]),
        ("sweep.fractions=[1.0,1.5]", ["sweep.fractions[1]: 1.5", "fraction in (0, 1]"]),
        ("dataset=cifar", ["dataset: 'cifar': unknown data set; did you mean 'cifar10'?"]),
        ("train.optimizer=muon", ["train.optimizer 'muon' is for fastnet", "'resnet8'"]),
        ("train.augment.flip=sometimes", ["train.augment.flip: 'sometimes'", "alternating"]),
        ("linkage.backend=cuml", ["linkage", "cuml has single linkage only", "auto or torch"]),
        ("selection.average=true", ["selection.average: the mean is over several references"]),
        ("sweep.selectors=[semantics]", ["did you mean 'semantic'?", "Allowed: semantic, random"]),
    ],
)
def test_bad_settings(refused, tmp_path, override, messages):
    path = write_experiment(tmp_path / "study.yaml")
    said = refused("run", path, "--set", override)
    assert str(path) in said
    assert all(message in said for message in messages)


def test_trials_that_are_no_number(refused):
    assert "sweep.trials: 'many'" in refused("run", "digits", "--trials", "many")


def test_missing_experiment_file(refused, tmp_path):
    assert "none.yaml: cannot read the experiment file" in refused("run", tmp_path / "none.yaml")


def test_unknown_experiment(refused):
    said = refused("run", "digist")
    assert "digist: neither a file nor an experiment shipped with rayred;" in said
    assert "did you mean 'digits'? Shipped: cifar10, cifar10-fast, " in said
    assert said.count("\n") == 1


def test_unknown_command(refused):
    assert "invalid choice: 'rum'" in refused("rum", "x.yaml")


def test_a_traceback_is_never_shown(tmp_path):
    check(rayred("run", tmp_path / "none.yaml"), "none.yaml: cannot read the experiment file")


def folder_study(root: Path, **changes: object) -> Path:
    for split, count in (("train", 4), ("test", 2)):
        for name in ("cat", "dog"):
            write_images(root / "pets" / split / name, count)
    return write_experiment(
        root / "study.yaml", dataset=f"folder:{root / 'pets'}", data={"image_size": 8}, **changes
    )


def test_missing_folder(refused, tmp_path):
    path = write_experiment(tmp_path / "study.yaml", dataset=f"folder:{tmp_path / 'none'}")
    assert "no such folder" in refused("run", path, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_classes_that_differ(refused, tmp_path):
    path = folder_study(tmp_path)
    (tmp_path / "pets" / "test" / "dog").rename(tmp_path / "pets" / "test" / "wolf")
    said = refused("run", path, "--out", tmp_path / "run")
    assert "only in training: 'dog'" in said
    assert "'wolf'" in said


def test_undecodable_image_is_named(refused, tmp_path):
    path = folder_study(tmp_path)
    (tmp_path / "pets" / "train" / "cat" / "0.png").write_bytes(b"no image")
    said = refused("run", path, "--out", tmp_path / "run")
    assert "cat/0.png" in said
    assert "--set data.undecodable=skip" in said


def test_run_folder_of_another_config(run_folder, tmp_path):
    path = write_experiment(tmp_path / "study.yaml", seed=5)
    done = rayred_here("run", path, "--out", run_folder)
    check(done, "another config: seed (0 there, 5 now)", "--update")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.usefixtures("cluster")
def test_gpu_that_is_not_there(tmp_path):
    path = write_experiment(tmp_path / "study.yaml", resources={"device": "cuda"})
    done = rayred_here("run", path, "--out", tmp_path / "run")
    check(done, "resources.device: 'cuda': the cluster has no GPU")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.usefixtures("cluster")
def test_cuml_without_a_gpu(tmp_path):
    path = write_experiment(
        tmp_path / "study.yaml", linkage={"method": "single", "backend": "cuml"}
    )
    done = rayred_here("run", path, "--out", tmp_path / "run")
    check(done, "linkage.backend: 'cuml': there is no GPU", "pip install 'rayred[rapids")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("cluster")
def test_run_folder_without_write_permission(tmp_path):
    path = write_experiment(tmp_path / "study.yaml")
    check(
        rayred_here("run", path, "--out", "/proc/rayred"),
        "/proc/rayred: cannot write the folder",
    )


@pytest.mark.usefixtures("cluster")
def test_more_workers_than_processors(tmp_path):
    path = write_experiment(
        tmp_path / "study.yaml", resources={"workers": 64, "device": "cpu"}, seed=1
    )
    check(rayred_here("run", path, "--out", tmp_path / "run"), "resources.workers: 64")


@pytest.mark.slow
def test_no_cluster_at_the_address(tmp_path):
    path = write_experiment(tmp_path / "study.yaml")
    done = rayred("run", path, "--out", tmp_path / "run", "--address", "127.0.0.1:1")
    check(done, "--address 127.0.0.1:1: no Ray cluster answers there")


@pytest.mark.parametrize("command", ["results", "report", "ui", "upload"])
def test_no_run_folder(refused, tmp_path, command):
    assert f"{tmp_path}: no run folder" in refused(command, tmp_path)


def test_ui_on_a_port_that_is_taken(run_folder):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = rayred_here("ui", run_folder, "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "is taken; choose another with --port" in done.stderr


def test_pruning_has_one_reference(refused, tmp_path):
    both = ["--set", "selection.references=2", "--set", "sweep.fractions=[1.0, 0.5]"]
    said = refused("prune", "digits", "--keep", "0.5", "--out", tmp_path / "out", *both)
    assert "prune: selection.references: there is one here; use rayred run" in said
    assert not (tmp_path / "out").exists()

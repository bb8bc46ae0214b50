"""rayred as a wheel installs it, and experiments by name: nothing of the checkout is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rayred
from rayred.config.shipped import describe_experiments, experiment_path, shipped_experiments
from rayred.errors import ConfigError

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that a wheel of this checkout is installed into; all else comes from here."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert uv is not None, "make install brings uv"
    root = tmp_path_factory.mktemp("wheel")
    pins = ["--build-constraints", str(ROOT / "constraints.txt")]
    call([uv, "build", "--wheel", "--out-dir", root, *pins, ROOT])
    (wheel,) = root.glob("*.whl")
    target = ["--target", root / "site", "--python", sys.executable]
    call([uv, "pip", "install", "--no-deps", *target, wheel])
    return root / "site"


def call(
    command: list[str | Path], code: int = 0, **options: object
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == code, done.stderr
    return done


def installed(site: Path, empty: Path, *arguments: str, code: int = 0):
    """Run the command line of the wheel in an empty folder."""
    environment = os.environ | {"PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "rayred", *arguments]
    return call(command, code, cwd=empty, env=environment)


def test_the_wheel_holds_every_experiment(site, tmp_path):
    listed = installed(site, tmp_path, "experiments").stdout.splitlines()
    assert dict(line.split(maxsplit=1) for line in listed) == describe_experiments()
    for name, path in shipped_experiments().items():
        held = site / "rayred" / "experiments" / f"{name}.yaml"
        assert held.read_bytes() == path.read_bytes()


def test_the_wheel_runs_an_experiment_by_its_name(site, tmp_path):
    """A setting that there is not stops it before anything is trained."""
    done = installed(site, tmp_path, "run", "digits", "--set", "modle=resnet8", code=2)
    held = site / "rayred" / "experiments" / "digits.yaml"
    assert f"{held}: modle: unknown key" in done.stderr


def test_the_wheel_knows_its_version(site, tmp_path):
    assert installed(site, tmp_path, "--version").stdout == f"rayred {rayred.__version__}\n"


def test_a_name_is_a_shipped_experiment_wherever_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert experiment_path("digits") == ROOT / "experiments" / "digits.yaml"


def test_a_file_of_that_name_comes_first_and_a_folder_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("digits").mkdir()
    assert experiment_path("digits") == ROOT / "experiments" / "digits.yaml"
    Path("cifar10").write_text("dataset: digits")
    assert experiment_path("cifar10") == Path("cifar10")


@pytest.mark.parametrize("path", ["./digits", "digits.yaml", "studies/digits"])
def test_what_has_a_separator_or_an_ending_is_a_file(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    assert experiment_path(path) == Path(path)


def test_an_unknown_name_lists_those_that_there_are():
    with pytest.raises(ConfigError, match=r"did you mean 'imagenet'\? Shipped: cifar10, .*digits"):
        experiment_path("imagnet")

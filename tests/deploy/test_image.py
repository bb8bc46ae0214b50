"""The image of deploy/Dockerfile: what it is made of, and what is pinned."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.files import ROOT, pins

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_hadolint_has_nothing_to_say():
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, ROOT / "deploy/Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_made_from_the_pinned_ray_and_is_not_roots():
    (base,) = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    (user,) = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    assert base == f"rayproject/ray:{pins()['ray']}-py311"
    assert user == "1000"


def test_all_that_rayred_names_is_pinned_within_its_range():
    extras = PROJECT["project"]["optional-dependencies"]
    lists = [extras[name] for name in extras if name != "rapids-cu12"]
    named = sum(lists, PROJECT["project"]["dependencies"])
    pinned = {canonicalize_name(name): version for name, version in pins().items()}
    for requirement in map(Requirement, named):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_what_the_wheel_is_built_from_is_sent_to_docker_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    sent = {line[1:] for line in lines if line.startswith("!")}
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    told = [PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]]
    assert sent == {*wheel, *told, "pyproject.toml", "constraints.txt"}
    assert all(any(fnmatch(path.name, name) for path in ROOT.iterdir()) for name in sent)

"""What the documentation says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rayred.config import MODELS, Experiment, Settings
from tests.conftest import rayred

ROOT = Path(__file__).parents[1]


def settings(group: type[Settings] = Experiment, prefix: str = "") -> dict[str, str]:
    found = {}
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found |= settings(field.annotation, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = field.description or ""
    return found


def test_every_setting_is_listed_with_its_description():
    text = (ROOT / "docs" / "experiments.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z_.]+)` \| .+? \| (.+) \|$", text, re.MULTILINE))
    assert listed == settings()


def test_every_model_is_listed():
    text = (ROOT / "docs" / "experiments.md").read_text()
    assert all(f"`{name}`" in text for name in MODELS)


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_links_lead_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_every_command_has_help():
    text = rayred("--help").stdout
    commands = re.findall(r"^    (\w+) ", text, re.MULTILINE)
    expected = ["run", "prune", "cluster", "results", "report", "ui", "upload", "doctor"]
    assert commands == expected
    for command in commands:
        assert rayred(command, "--help").returncode == 0

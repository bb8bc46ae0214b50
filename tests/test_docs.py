"""What the documentation says is so, and says all: commands, options, settings, models, files."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

import rayred
from rayred.arguments import DATASET_HELP, parser
from rayred.config import DATASETS, MODELS, Experiment, Settings
from rayred.config.experiment import DATASET_SCHEMES
from rayred.config.shipped import describe_experiments
from rayred.selection import SELECTORS

ROOT = Path(__file__).parents[1]
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "examples/README.md",
    *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
]


def subparsers() -> argparse._SubParsersAction:
    (found,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return found


COMMANDS: dict[str, argparse.ArgumentParser] = subparsers().choices


def settings(group: type[Settings] = Experiment, prefix: str = "") -> dict[str, str]:
    found = {}
    for name, field in group.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found |= settings(field.annotation, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = field.description or ""
    return found


def arguments(command: str) -> dict[str, str]:
    """The help of all arguments and options of a command, by how they are written."""
    found = {}
    for action in COMMANDS[command]._actions:
        if not isinstance(action, argparse._HelpAction):
            written = [*action.option_strings[-1:], str(action.metavar or "")]
            found[" ".join(written).strip()] = action.help or ""
    return found


def table(text: str) -> dict[str, str]:
    """The rows of a page's tables that begin with code: second column by first."""
    rows = re.findall(r"^\| `(.+?)` \| (.+) \|$", text, re.MULTILINE)
    return {first.replace(r"\|", "|"): second for first, second in rows}


def sections() -> dict[str, str]:
    """The sections of docs/commands.md, by command."""
    text = (ROOT / "docs" / "commands.md").read_text()
    _, *parts = re.split(r"^## rayred ", text, flags=re.MULTILINE)
    return {re.split(r"[ \n]", part)[0]: part for part in parts}


def written(page: str) -> tuple[list[str], list[str]]:
    """The code on a page: lines of code blocks, and code within text."""
    text = (ROOT / page).read_text().replace("\\\n", "")
    lines = re.findall(r"^    +(\S.*)$", text, re.MULTILINE)
    return lines, [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


def test_every_setting_is_listed_with_its_description():
    text = (ROOT / "docs" / "experiments.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z_.]+)` \| .+? \| (.+) \|$", text, re.MULTILINE))
    assert listed == settings()
    assert all(listed.values())


def test_every_model_is_listed():
    text = (ROOT / "docs" / "experiments.md").read_text()
    assert all(f"`{name}`" in text for name in MODELS)


def test_every_selector_is_listed():
    text = (ROOT / "docs" / "selectors.md").read_text()
    assert re.findall(r"^\| `([a-z_0-9]+)` \|", text, re.MULTILINE) == list(SELECTORS)


def test_every_shipped_experiment_is_listed_and_says_what_it_is():
    text = (ROOT / "docs" / "experiments.md").read_text()
    for name, sentence in describe_experiments().items():
        assert f"`{name}.yaml`" in text
        assert sentence.endswith("."), name


def test_the_documented_commands_are_those_that_there_are():
    assert list(sections()) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_listed_with_its_help(command):
    section = sections()[command]
    (summary,) = (c.help for c in subparsers()._choices_actions if c.dest == command)
    assert table(section) == arguments(command)
    assert all(arguments(command).values())
    for action in COMMANDS[command]._actions:
        if action.option_strings and not isinstance(action, argparse._HelpAction):
            said = ["(required)"] if action.required else ["(default: ", "several times"]
            assert any(words in action.help for words in said), action.help
    assert section.split("\n")[2] == f"{summary[0].upper()}{summary[1:]}."


def test_the_help_of_a_data_set_names_them_all():
    assert all(name in DATASET_HELP for name in (*DATASETS, *DATASET_SCHEMES))


@pytest.mark.parametrize("page", PAGES)
def test_commands_on_a_page_exist(page):
    lines, spans = written(page)
    for line in lines:
        found = re.search(r"(?<!from )\brayred ([a-z]+\b[^'#]*)", line.split("#")[0])
        if found:
            try:
                parser().parse_args(shlex.split(found[1]))
            except SystemExit as end:
                pytest.fail(f"{line}: exit code {end.code}")
    for span in spans:
        found = re.match(r"(?:python -m )?rayred ([a-z]+)(.*)", span)
        if found:
            options = set(re.findall(r"--[a-z-]+", found[2]))
            assert found[1] in COMMANDS, span
            assert options <= {name.split()[0] for name in arguments(found[1])}, span


@pytest.mark.parametrize("page", PAGES)
def test_targets_of_make_on_a_page_exist(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines, spans = written(page)
    for code in [*lines, *spans]:
        if code.startswith("make "):
            named = re.split(r"\s{2,}|#|;", code)[0].split()[1:]
            assert {word for word in named if "=" not in word} <= targets, code


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_contents_of_the_site_list_every_page_once():
    contents = (ROOT / "docs" / "index.md").read_text()
    blocks = re.findall(r"^```{toctree}\n(?::.+\n)*((?:.+\n)+)```$", contents, re.MULTILINE)
    listed = [(f"docs/{entry}", entry[1:])[entry[0] == "/"] for entry in "".join(blocks).split()]
    pages = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.rst"), *ROOT.glob("examples/*.*")]
    pages += [*ROOT.glob("rayred/**/*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    names = {page.relative_to(ROOT).with_suffix("").as_posix() for page in pages}
    assert sorted(listed) == sorted(names - {"docs/index"})


def test_every_exported_name_is_on_a_page_of_the_reference():
    texts = [page.read_text() for page in ROOT.glob("docs/api/*.rst")]
    shown = re.findall(r"^\.\. auto\w+:: rayred\.(\w+)$", "\n".join(texts), re.MULTILINE)
    assert sorted(shown) == sorted(rayred.__all__)

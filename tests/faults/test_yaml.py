"""YAML that can be read in two ways is refused by file and line; the rest means one thing."""

from __future__ import annotations

import math

import pytest
import yaml

from rayred.config.file import load_experiment
from rayred.config.strict_yaml import dump_yaml, parse_yaml
from rayred.errors import ConfigError
from tests.conftest import rayred_here

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\ndataset: *b\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("seed: 1\nseed: 2", 2, "the key 'seed' stands twice, first in line 1"),
        ("train:\n  lr: 1\n  steps: 2\n  lr: 3", 4, "the key 'lr' stands twice, first in line 2"),
        ("a: 1\n'a': 2", 2, "the key 'a' stands twice"),
        ("x: {b: 1, b: 2}", 1, "the key 'b' stands twice"),
        ("x: [{b: 1}, {b: 1, b: 2}]", 1, "the key 'b' stands twice"),
        *(
            (f"seed: {number}", 1, f"{number} is another number, or text, in another version")
            for number in ("010", "09", "00", "-012", "0o10", "0b11", "1_000", "1_0.5", "1.0_0")
        ),
        *((f"a: [{n}]", 1, f"{n} is another number") for n in ("1:30", "12:30:45.5", "0x1_F")),
        (BOMB, 2, "aliases are not read"),
        ("a: !!str 5", 1, "tags are not read"),
        ("a: !!python/object/apply:os.system [ls]", 1, "tags are not read"),
        ("a: 1\n---\nb: 2", 2, "found another document"),
        ("a:\n\tb: 1", 2, "found character '\\t'"),
        ("1: 2", 1, "expected a key that is text, got 1"),
        ("true: 2", 1, "expected a key that is text, got true"),
        ("? [a]\n: 1", 1, "expected a key that is text, got a sequence"),
    ],
)
def test_what_means_two_things_or_nothing_is_refused(tmp_path, text, line, said):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_experiment(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: line {line}: ")
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 5000, "nested too deeply"),
        ("a: \0", "special characters"),
        ("a: " + "9" * 5000, "digits"),
        ("<<: {seed: 1}\ndataset: digits", "<<: unknown key"),
        ("", "expected a mapping"),
        ("dataset: digits\nseed: 1e400", "seed: inf"),
        ("dataset: digits\nverdict: {margin: .inf}", "verdict.margin: inf"),
        ("dataset: digits\ntrain: {lr: .nan}", "train.lr: nan"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_line(tmp_path, text, said):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_experiment(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("n", "n"),
        ("2024-01-01", "2024-01-01"), ("=", "="), ("true", True), ("False", False),
        ("~", None), ("null", None), ("", None), ("0", 0), ("-3", -3), ("0x1F", 31),
        ("1e-4", 1e-4), ("1.0e-05", 1e-5), ("5E3", 5000.0), ("1.", 1.0), (".5", 0.5), ("00.5", 0.5),
        (".inf", math.inf), ("'010'", "010"), ('"1:30"', "1:30"), ("v1_0", "v1_0"),
    ],
)  # fmt: skip
def test_plain_values_are_those_of_yaml_1_2(text, value):
    assert parse_yaml(f"a: {text}", "test") == {"a": value}


def test_text_that_looks_like_something_else_is_written_in_quotes():
    texts = ["no", "on", "010", "0o10", "1:30", "1_0", "2024-01-01", "1e5", "", "~", "true", "a: b"]
    written = dump_yaml({"all": texts})
    assert parse_yaml(written, "test") == {"all": texts}
    assert yaml.safe_load(written) == {"all": texts}


def test_lists_that_are_the_same_object_are_written_twice():
    shared = [1, 2]
    assert parse_yaml(dump_yaml({"a": shared, "b": shared}), "test") == {"a": [1, 2], "b": [1, 2]}


def test_byte_order_mark_and_line_ends_of_windows_are_read(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes(b"\xef\xbb\xbfdataset: digits\r\nname: no\r\ntrain: {nesterov: no}\r\n")
    experiment = load_experiment(path)
    assert (experiment.name, experiment.train.nesterov) == ("no", False)


def test_another_encoding_is_named(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes("dataset: digits\n".encode("utf-16"))
    with pytest.raises(ConfigError, match="cannot read the experiment file: it is not UTF-8"):
        load_experiment(path)


def test_values_on_the_command_line_are_read_the_same_way():
    done = rayred_here("run", "digits", "--set", "seed=010")
    assert done.returncode == 2
    assert done.stderr.startswith("rayred: --set seed=010: line 1: 010 is another number")

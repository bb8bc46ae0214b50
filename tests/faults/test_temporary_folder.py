"""Folders whose paths are too long for Ray's sockets, and folders that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayred.machines.connect import LONGEST_FOLDER, SHORT_FOLDER, _temporary_folder
from tests.conftest import rayred

SOCKET = "/ray/session_2026-11-26_21-27-03_123456_4194304/sockets/plasma_store.1"


def test_the_longest_folder_leaves_room_for_a_socket():
    assert LONGEST_FOLDER + len(SOCKET) <= 107


@pytest.fixture
def folder(monkeypatch, caplog):
    def choose(**variables: str) -> tuple[str | None, str]:
        for name in ("RAY_TMPDIR", "TMPDIR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return _temporary_folder(), caplog.text

    return choose


def test_ray_chooses_itself_where_it_can(folder):
    assert folder() == (None, "")
    assert folder(TMPDIR="/tmp") == (None, "")
    assert folder(RAY_TMPDIR="/tmp/not-made-yet") == (None, "")


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_path_that_is_too_long_is_named_and_not_used(folder, name):
    long = "/tmp/" + "long" * 20
    chosen, said = folder(**{name: long})
    assert chosen == SHORT_FOLDER
    assert f"{name}: {long} has more than {LONGEST_FOLDER} bytes" in said
    assert f"Ray uses {SHORT_FOLDER}" in said


def test_bytes_count_and_relative_paths_are_made_absolute(folder, monkeypatch, tmp_path):
    assert folder(RAY_TMPDIR="/tmp/" + "ä" * 16)[0] == SHORT_FOLDER
    deep = tmp_path / ("deep" * 10)
    deep.mkdir()
    monkeypatch.chdir(deep)
    assert folder(TMPDIR=".")[0] == SHORT_FOLDER


def test_a_folder_that_is_not_there_is_not_used(folder):
    chosen, said = folder(TMPDIR="/tmp/no-such")
    assert chosen == SHORT_FOLDER
    assert "TMPDIR: /tmp/no-such is no folder" in said


@pytest.mark.slow
def test_ray_starts_with_a_long_temporary_folder_and_without_a_home(tmp_path: Path):
    long = tmp_path / ("long" * 20)
    long.mkdir()
    done = rayred("doctor", TMPDIR=str(long), RAY_ADDRESS="", HOME="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"TMPDIR: {long} has more than" in done.stderr
    assert "Traceback" not in done.stderr

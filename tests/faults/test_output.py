"""Output that cannot show all characters, that nobody reads, or that cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ALL = "selector ± semantic − käse 日本 \udcff"
SHOWS = f"""
import sys
from rayred.command import run_command, say, show
def command():
    show({ALL!a})
    say({ALL!a})
    return 0
sys.exit(run_command(command))
"""
WITHOUT_COERCION = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def command(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[bytes]:
    settings: dict[str, str] = options.pop("env", {})  # type: ignore[assignment]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment | settings,
        check=False,
        timeout=120,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


@pytest.mark.parametrize(
    ("settings", "shown", "said"),
    [
        ({"PYTHONIOENCODING": "utf-8"}, "± semantic − käse 日本 ?", "− käse 日本 \\udcff"),
        ({"PYTHONIOENCODING": "latin-1"}, "± semantic ? käse ?? ?", "\\u2212 käse \\u65e5"),
        ({"PYTHONIOENCODING": "ascii"}, "? semantic ? k?se ?? ?", "\\u2212 k\\xe4se \\u65e5"),
        (WITHOUT_COERCION, "? semantic ? k?se ?? ?", "\\u2212 k\\xe4se \\u65e5"),
    ],
)
def test_what_an_encoding_does_not_have_is_replaced(settings, shown, said):
    done = command("-c", SHOWS, env=settings)
    encoding = settings.get("PYTHONIOENCODING", "ascii")
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout.decode(encoding)
    assert said in done.stderr.decode(encoding)


@pytest.mark.parametrize("arguments", [["run", "--help"], ["experiments"]])
@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "ascii"}, WITHOUT_COERCION])
def test_commands_print_in_ascii(arguments, settings):
    done = command("-m", "rayred", *arguments, env=settings)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("ascii")
    assert not done.stderr


@pytest.mark.parametrize("arguments", [["experiments"], ["run", "--help"]])
def test_a_pipe_that_nobody_reads_ends_a_command_quietly(arguments):
    read, write = os.pipe()
    os.close(read)
    done = command("-m", "rayred", *arguments, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [["experiments"], ["run", "--help"]])
def test_results_that_cannot_be_written_are_told_in_a_sentence(arguments):
    with Path("/dev/full").open("wb") as full:
        done = command("-m", "rayred", *arguments, stdout=full)
    assert done.returncode == 1
    sentence = b"rayred: standard output cannot be written: No space left on device\n"
    assert done.stderr == sentence


def test_messages_that_cannot_be_written_leave_the_exit_code(tmp_path):
    with Path("/dev/full").open("wb") as full:
        done = command("-m", "rayred", "results", tmp_path, stderr=full)
    assert done.returncode == 2


@pytest.mark.parametrize("closed", [1, 2])
def test_closed_streams_get_no_number_that_a_file_has_then(closed):
    opens = """
import sys
from rayred.command import run_command, say, show
def command():
    show("shown")
    say("said")
    return open("/dev/null").fileno()
sys.exit(run_command(command))
"""
    done = command("-c", opens, preexec_fn=lambda: os.close(closed))
    assert done.returncode > 2
    assert (done.stdout, done.stderr) == ((b"", b"said\n") if closed == 1 else (b"shown\n", b""))

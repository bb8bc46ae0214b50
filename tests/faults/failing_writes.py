"""Writes to the file system that end the process, or find the disk full, at a chosen one."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import pytest

from rayred.errors import RayredError

WRITES = ("chmod", "fsync", "link", "mkdir", "rename", "replace", "rmdir", "unlink")
"""Functions of `os` by which pathlib and shutil write, apart from opening files."""
NEED_SPACE = ("fsync", "link", "mkdir", "open", "rename", "replace")
Kind = Literal["kill", "full", "full for good"]


@dataclass(frozen=True)
class Fault:
    """What happens at one of the writes, counted from 1."""

    kind: Kind
    write: int

    def strike(self, count: int, name: str) -> None:
        """End the process or raise, if it is time to."""
        if self.kind == "kill" and count == self.write:
            os._exit(9)
        due = count == self.write or (self.kind == "full for good" and count > self.write)
        if self.kind != "kill" and due and name in NEED_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def counted_writes(fault: Fault | None = None, *, links: bool = True) -> Iterator[list[str]]:
    """Let a fault strike ahead of its write, and wait for no disk; yields the writes so far.

    An opened file counts twice: the process may end before it is there, and before it has content.
    Without `links`, the file system has no hard links.
    """
    writes: list[str] = []

    def struck(name: str) -> None:
        writes.append(name)
        if fault is not None:
            fault.strike(len(writes), name)

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **options: Any) -> Any:
            struck(name)
            if name == "link" and not links:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            return None if name == "fsync" else function(*arguments, **options)

        return write

    open_file = io.open

    def counted_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        to_write = mode[0] in "wxa"
        if to_write:
            struck("open")
        opened = open_file(file, mode, *arguments, **options)
        if to_write:
            try:
                struck("open")
            except OSError:
                opened.close()
                raise
        return opened

    with pytest.MonkeyPatch.context() as patch:
        for name in WRITES:
            patch.setattr(os, name, counted(name, getattr(os, name)))
        patch.setattr(io, "open", counted_open)
        patch.setattr(builtins, "open", counted_open)
        yield writes


def attempt(command: Callable[[], None], fault: Fault | None, *, links: bool = True) -> str:
    """Run a command, in a process of its own if it is to be killed; returns how it ended."""
    if fault is not None and fault.kind == "kill":
        child = os.fork()
        if child == 0:
            _run_to_be_killed(command, fault, links)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9), "the command failed"
        return "killed" if code else "finished"
    try:
        with counted_writes(fault, links=links):
            command()
    except RayredError:
        assert fault is not None
        return "failed"
    return "finished"


def _run_to_be_killed(command: Callable[[], None], fault: Fault, links: bool) -> NoReturn:
    code = 1
    try:
        with counted_writes(fault, links=links):
            command()
        code = 0
    finally:
        os._exit(code)

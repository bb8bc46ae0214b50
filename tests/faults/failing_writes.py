"""Writes to the file system that end the process, or find the disk full, at a chosen one."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pytest

WRITES = ("chmod", "fsync", "link", "mkdir", "rename", "replace", "rmdir", "unlink")
"""Functions of `os` by which pathlib and shutil write, apart from opening files."""
NEED_SPACE = ("fsync", "link", "mkdir", "open", "rename", "replace")


@dataclass(frozen=True)
class Fault:
    """What happens at one of the writes, counted from 1."""

    kind: Literal["kill", "full", "full for good"]
    write: int

    def strike(self, count: int, name: str) -> None:
        """End the process or raise, if it is time to."""
        if self.kind == "kill" and count == self.write:
            os._exit(9)
        due = count == self.write or (self.kind == "full for good" and count > self.write)
        if self.kind != "kill" and due and name in NEED_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def counted_writes(fault: Fault | None, *, links: bool = True) -> Iterator[None]:
    """Let a fault strike ahead of its write, and wait for no disk.

    An opened file counts twice: the process may end before it is there, and before it has content.
    Without `links`, the file system has no hard links.
    """
    count = 0

    def struck(name: str) -> None:
        nonlocal count
        count += 1
        if fault is not None:
            fault.strike(count, name)

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **options: Any) -> Any:
            struck(name)
            if name == "link" and not links:
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
            return None if name == "fsync" else function(*arguments, **options)

        return write

    open_file = io.open

    def counted_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        writes = mode[0] in "wxa"
        if writes:
            struck("open")
        opened = open_file(file, mode, *arguments, **options)
        if writes:
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
        yield

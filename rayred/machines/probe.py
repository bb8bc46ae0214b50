"""What one node of a cluster is and has, looked at there.

Sent to the nodes as it stands, by value: rayred may not be installed there. So it imports nothing
but Python's own modules, and others only where it can do without them.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import platform
import shutil
import socket
import tempfile
import time
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def probe(storage: str | None, written: str | None) -> dict[str, Any]:
    """Return the facts of the node that this runs on.

    Parameters
    ----------
    storage
        Folder or URL to write to and read from.
    written
        Name of a file there that another node has written.

    Returns
    -------
    facts
        The fields of `rayred.machines.nodes.Node` but for those that Ray knows.
    """
    names, driver = _gpus()
    return {
        "host": socket.gethostname(),
        "rayred": _version("rayred"),
        "source": own_source(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in ("ray", "torch", "torchvision", "numpy")},
        "gpus": names,
        "driver": driver,
        "rapids": next((v for n in (13, 12) if (v := _version(f"cuml-cu{n}"))), ""),
        "disk": shutil.disk_usage(tempfile.gettempdir()).free,
        "memory": _free_memory(),
        "storage": "" if storage is None else try_storage(storage, written),
        "clock": time.time(),
    }


@functools.cache
def own_source() -> str:
    """Return a digest of the source of the rayred that is imported here; empty if there is none."""
    found = importlib.util.find_spec("rayred")
    if found is None or not found.submodule_search_locations:
        return ""
    folder = Path(next(iter(found.submodule_search_locations)))
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def try_storage(storage: str, written: str | None) -> str:
    """Write and read a file in a folder or at a URL; return what is wrong, or an empty text."""
    try:
        from pyarrow import fs

        files, root = fs.FileSystem.from_uri(storage)
        files.create_dir(root, recursive=True)
        name = f"{root.rstrip('/')}/.rayred-{uuid.uuid4().hex}"
        with files.open_output_stream(name) as stream:
            stream.write(b"rayred")
        files.delete_file(name)
        if written is not None:
            with files.open_input_stream(f"{root.rstrip('/')}/{written}") as stream:
                stream.read()
    except FileNotFoundError:
        return "does not see what another node has written there: it is not shared"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _gpus() -> tuple[list[str], str]:
    """Return the names of the GPUs, and the version of their driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            handles = [
                pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(pynvml.nvmlDeviceGetCount())
            ]
            names = [pynvml.nvmlDeviceGetName(one) for one in handles]
            return names, str(pynvml.nvmlSystemGetDriverVersion())
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # noqa: BLE001 - no library, no driver or no GPU: all mean that there is none
        return [], ""


def _free_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(1024 * int(one.split()[1]) for one in lines if one.startswith("MemAvailable"))

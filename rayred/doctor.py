"""Checks of the installation, this machine and a Ray cluster, for ``rayred doctor``."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rayred.errors import RayredError

PACKAGES = ("ray", "torch", "torchvision", "mlflow", "numpy", "scipy", "scikit-learn")
GIB = 2**30
LITTLE_DISK = 5 * GIB


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    state: Literal["ok", "note", "FAIL"]
    text: str


def examine(address: str | None, storage: str | None = None) -> list[Finding]:
    """Return the outcomes of checks of packages, machine, folder, GPUs, RAPIDS, Ray and MLflow.

    Parameters
    ----------
    address
        Address of the Ray cluster, every node of which is looked at; `None` starts Ray on this
        machine.
    storage
        Folder or URL that every node is to write and read.
    """
    checks: list[tuple[str, Callable[[], Finding | list[Finding]]]] = [
        ("packages", _packages),
        ("machine", _machine),
        ("folder", _folder),
        ("gpu", _gpu),
        ("rapids", _rapids),
        ("token", _token),
        ("ray", lambda: _cluster(address, storage)),
        ("mlflow", _mlflow),
    ]
    findings: list[Finding] = []
    for name, check in checks:
        try:
            found = check()
            findings += [found] if isinstance(found, Finding) else found
        except (RayredError, ImportError, OSError, RuntimeError) as error:
            findings.append(Finding(name, "FAIL", f"{type(error).__name__}: {error}"))
    return findings


def _packages() -> Finding:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            return Finding("packages", "FAIL", f"{package} is not installed: pip install rayred")
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding("packages", "ok" if good else "FAIL", ", ".join(found))


def _machine() -> Finding:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = f"{os.cpu_count()} cores, {pages / GIB:.0f} GiB of memory, {platform.system()}"
    shared = Path("/dev/shm")
    if shared.is_dir():
        text += f", {shutil.disk_usage(shared).total / GIB:.1f} GiB of shared memory (/dev/shm)"
    return Finding("machine", "ok", text)


def _folder() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    with tempfile.TemporaryFile(dir=Path.cwd()):
        return Finding("folder", "ok", f"{Path.cwd()} is writable, {free:.0f} GiB free")


def _gpu() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return Finding("gpu", "note", "none on this machine")
    cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    listed = ", ".join(f"{card.name} ({card.total_memory / GIB:.0f} GiB)" for card in cards)
    return Finding("gpu", "ok", f"CUDA {torch.version.cuda}: {listed}")


def _rapids() -> Finding:
    from rayred.linkage.cuml_backend import check_cuml, rapids_install

    missing = [name for name in ("cuml", "cupy") if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(
            "rapids", "note", f"no {' and '.join(missing)}; optional: {rapids_install()}"
        )
    try:
        check_cuml()
    except RuntimeError as error:
        return Finding("rapids", "note", str(error))
    import cuml
    import cupy

    return Finding("rapids", "ok", f"cuml {cuml.__version__}, cupy {cupy.__version__}")


def _cluster(address: str | None, storage: str | None) -> list[Finding]:
    """Return what holds of the Ray cluster as a whole, and of each of its nodes."""
    from rayred.machines.connect import connect
    from rayred.machines.nodes import look_at_nodes, problems_of

    with connect(address) as cluster:
        text = f"{cluster.nodes} node(s), {cluster.cpus} CPUs, {cluster.gpus} GPUs"
        findings = [Finding("ray", "ok", text)]
        if address is None and storage is None:
            return findings
        nodes = look_at_nodes(storage)
        problems = problems_of(nodes, storage)
        for node in nodes:
            found = problems[node.address]
            said = f"{node.address} {node.describe()}"
            findings.append(Finding("node", "ok", said))
            findings += [Finding("node", "FAIL", f"{node.address} {one}") for one in found]
            if node.disk < LITTLE_DISK and not node.failure:
                text = f"{node.address} {node.disk / GIB:.1f} GiB of disk are left: little"
                findings.append(Finding("node", "note", text))
        kinds = {gpu for node in nodes for gpu in node.gpus}
        if len(kinds) > 1:
            text = f"GPUs of {len(kinds)} kinds ({', '.join(sorted(kinds))}): they round otherwise"
            findings.append(Finding("node", "note", text))
        return findings


def _token() -> Finding:
    from rayred.machines.answering import token_file

    path = token_file()
    if os.environ.get("RAY_AUTH_TOKEN") or not path.exists():
        return Finding("token", "note", f"no file {path}; what a cluster asks for comes from there")
    if path.stat().st_mode & 0o077:
        return Finding("token", "note", f"{path} can be read by others: chmod 600 {path}")
    return Finding("token", "ok", f"{path} can be read by you alone")


def _mlflow() -> Finding:
    from rayred.tracking.client import create_store

    with tempfile.TemporaryDirectory() as folder:
        create_store(f"sqlite:///{folder}/mlflow.db")
    return Finding("mlflow", "ok", "a SQLite store can be created")

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


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    name: str
    state: Literal["ok", "note", "FAIL"]
    text: str


def examine(address: str | None) -> list[Finding]:
    """Return the outcomes of checks of packages, machine, folder, GPUs, RAPIDS, Ray and MLflow.

    Parameters
    ----------
    address
        Address of the Ray cluster; `None` starts Ray on this machine.
    """
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("packages", _packages),
        ("machine", _machine),
        ("folder", _folder),
        ("gpu", _gpu),
        ("rapids", _rapids),
        ("ray", lambda: _ray(address)),
        ("mlflow", _mlflow),
    ]
    findings = []
    for name, check in checks:
        try:
            findings.append(check())
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


def _ray(address: str | None) -> Finding:
    from rayred.machines.connect import connect

    with connect(address) as cluster:
        return Finding(
            "ray", "ok", f"{cluster.nodes} node(s), {cluster.cpus} CPUs, {cluster.gpus} GPUs"
        )


def _mlflow() -> Finding:
    from rayred.tracking.client import create_store

    with tempfile.TemporaryDirectory() as folder:
        create_store(f"sqlite:///{folder}/mlflow.db")
    return Finding("mlflow", "ok", "a SQLite store can be created")

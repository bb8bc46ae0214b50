"""The environment of a study: versions, hardware, and the commit of the working folder."""

from __future__ import annotations

import getpass
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rayred.store import ENVIRONMENT, Store

if TYPE_CHECKING:
    from rayred.machines.connect import Cluster

PACKAGES = ("rayred", "ray", "torch", "torchvision", "numpy", "mlflow")


@dataclass(frozen=True)
class Environment:
    """Software and hardware that a study is made with."""

    versions: dict[str, str]
    """Versions of Python and of `PACKAGES`, by name."""
    nodes: int = 0
    """Number of machines of the cluster; `cpus` and `gpus` are totals over all of them."""
    cpus: int = 0
    gpus: int = 0
    gpu_types: tuple[str, ...] = ()
    """Ray's names of the GPU models, such as H100."""
    processor: str = ""
    """Processor of the machine that the study was started on."""
    user: str = ""
    git_commit: str = ""
    """Commit of the working folder; empty if that is no git repository."""
    git_dirty: bool = False
    """Whether tracked files differ from that commit."""

    @classmethod
    def describe(cls, cluster: Cluster) -> Self:
        """Return the environment of this process, its working folder and the cluster."""
        return cls(
            versions={
                "python": platform.python_version(),
                **{name: version(name) for name in PACKAGES},
            },
            nodes=cluster.nodes,
            cpus=cluster.cpus,
            gpus=cluster.gpus,
            gpu_types=cluster.gpu_types,
            processor=_processor(),
            user=_user(),
            git_commit=_git("rev-parse", "HEAD"),
            git_dirty=bool(_git("status", "--porcelain", "--untracked-files=no")),
        )

    @classmethod
    def read(cls, store: Store, key: str) -> Self | None:
        """Return the environment of a key in a folder; None if it is not there."""
        stored = store.get(ENVIRONMENT, key)
        if stored is None:
            return None
        return cls(**{**stored.value, "gpu_types": tuple(stored.value["gpu_types"])})

    @classmethod
    def of_study(cls, store: Store) -> Self:
        """Return the environment of a folder's current study; all fields are empty if unknown."""
        return cls.read(store, store.parts.get(ENVIRONMENT.name, "")) or cls(versions={})

    def hardware(self) -> str:
        """Return the hardware of the cluster as text: machines, CPUs, processor and GPUs."""
        nodes = f"{self.nodes} machine" + ("s" if self.nodes > 1 else "")
        gpus = f", {self.gpus} GPUs ({', '.join(self.gpu_types)})" if self.gpus else ", no GPU"
        return f"{nodes}, {self.cpus} CPUs ({self.processor}){gpus}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

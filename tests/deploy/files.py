"""The files that clusters are launched with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
LAUNCHERS = ["cluster.yaml", *sorted(f"deploy/{path.name}" for path in ROOT.glob("deploy/*.yaml"))]
"""Files of Ray's cluster launcher, `ray up`."""
MANIFESTS = sorted(f"deploy/kuberay/{path.name}" for path in ROOT.glob("deploy/kuberay/*.yaml"))
"""Files of `kubectl apply`."""


def read(file: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / file).read_text())


def pins() -> dict[str, str]:
    """The versions of constraints.txt by package."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))

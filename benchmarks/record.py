"""What benchmarks share: random images, and machine, versions and date beside the figures."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from rayred.data.dataset import Dataset, Split

RESULTS = Path(__file__).parents[1] / "docs" / "results"
PACKAGES = ("rayred", "ray", "torch", "numpy", "scipy", "scikit-learn")


def write_results(name: str, figures: Mapping[str, Any]) -> Path:
    """Write ``docs/results/NAME.json`` and return its path."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB",
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in PACKAGES},
        **figures,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in aligned columns."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        print(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        )


def random_images(train: int = 50_000, test: int = 4_096) -> Dataset:
    """Return random images of CIFAR-10's shape."""
    rng = np.random.default_rng(0)
    classes = tuple(str(label) for label in range(10))
    splits = [
        Split(
            rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8),
            np.arange(n, dtype=np.int64) % 10,
            [str(row) for row in range(n)],
            classes,
        )
        for n in (train, test)
    ]
    return Dataset("random", *splits)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

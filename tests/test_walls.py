"""What an import of a room loads, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "ray", "mlflow", "torchvision"}


LIGHT = (
    "rayred.cli",
    "rayred.config",
    "rayred.keys",
    "rayred.store",
    "rayred.results.table",
    "rayred.linkage.tree",
    "rayred.verdict",
    "rayred.report.study",
    "rayred.review",
)


@pytest.mark.parametrize(
    ("rooms", "unwanted"),
    [
        (LIGHT, HEAVY),
        (["rayred.clustering.groups", "rayred.training.loop"], {"ray", "mlflow"}),
    ],
    ids=["light", "torch"],
)
def test_imports_load_no_more_than_the_rooms_need(rooms, unwanted):
    code = f"import sys, {', '.join(rooms)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())

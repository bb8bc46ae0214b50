"""What an import of a room loads, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "ray", "mlflow", "torchvision"}


@pytest.mark.parametrize(
    ("room", "unwanted"),
    [
        ("rayred", HEAVY),
        ("rayred.cli", HEAVY),
        ("rayred.config", HEAVY),
        ("rayred.keys", HEAVY),
        ("rayred.store", HEAVY),
        ("rayred.results.table", HEAVY),
        ("rayred.verdict", HEAVY),
        ("rayred.report.study", HEAVY),
        ("rayred.linkage.build", {"ray", "mlflow", "rayred.config"}),
        ("rayred.clustering.groups", {"ray", "mlflow"}),
        ("rayred.training.loop", {"ray", "mlflow"}),
        ("rayred.review", {"ray", "torch"}),
    ],
)
def test_an_import_loads_no_more_than_the_room_needs(room, unwanted):
    code = f"import sys, {room}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not unwanted & set(done.stdout.split())

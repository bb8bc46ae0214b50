"""What a check has found, in numbers, read from its file alone: no torch, and no images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rayred.store import json_stage

FILE = "check.json"
SUMMARY = json_stage("check", FILE)
"""The numbers of a check; its tables are saved by `rayred.checking.tables.CHECKED`."""


def leak_notes(summary: Mapping[str, Any]) -> list[str]:
    """Return a note on test images that are also in training, by what ``check.json`` says."""
    leaks, n = summary["other_split"], summary["images"]["test"]
    if not leaks["any"]:
        return []
    return [
        f"{leaks['any']:,} of {n:,} test images look like a training image ({leaks['pixels']:,}"
        " have the same pixels): where they are copies, accuracies are too high; see leaks.csv"
    ]

"""A run folder read without the code of the store, to check what that has done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OTHERS = "-others-"
INTERNAL = {"rayred.json", "made", ".rayred.lock"}


@dataclass(frozen=True)
class WholeEntry:
    """An entry with all its files as they were written."""

    stage: str
    key: str
    generation: int
    shown: bool
    files: dict[str, bytes]

    @property
    def name(self) -> str:
        return f"{self.stage}-{self.key}"


def whole_entries(folder: Path) -> dict[str, WholeEntry]:
    """All whole entries by name."""
    folders = (record.parent for record in (folder / "made").glob("*/record.json"))
    found = [(path.name, _whole_entry(path)) for path in folders]
    return {
        name: entry
        for name, entry in sorted(found, key=lambda one: one[0])
        if entry and entry.name == name
    }


def half_way(folder: Path) -> list[WholeEntry]:
    """All whole entries that a process left without their names, for the next one to finish."""
    folders = [record.parent for record in (folder / "made").glob("*/record.json")]
    found = [
        _whole_entry(path) for path in folders if ".rayred-" in path.name or OTHERS in path.name
    ]
    return [entry for entry in found if entry]


def _whole_entry(folder: Path) -> WholeEntry | None:
    try:
        record = json.loads((folder / "record.json").read_bytes())
        files = {name: (folder / name).read_bytes() for name in record["files"]}
    except (OSError, TypeError, ValueError):
        return None
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    if digests != {name: file["sha256"] for name, file in record["files"].items()}:
        return None
    origin = record["origin"]["generation"], record["shown"]
    return WholeEntry(record["stage"], record["key"], *origin, files)


def manifest(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "rayred.json").read_text()))
    except FileNotFoundError:
        return {"study": "", "studies": {}, "generation": 0, "owns": []}


def study(folder: Path, key: str) -> dict[str, Any]:
    nothing = {"parts": {}, "finished": False, "since": 0, "starting_over": False}
    return dict(manifest(folder)["studies"].get(key, nothing))


def top_files(folder: Path) -> dict[str, bytes]:
    """All files of the folder but the manifest and those of the entries, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in INTERNAL
    }


def unfinished(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.rayred-*"))

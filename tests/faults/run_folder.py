"""A run folder read without the code of the store, to check what that has done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INTERNAL = {"rayred.json", "made", ".lock"}


@dataclass(frozen=True)
class WholeEntry:
    """An entry with all its files as they were written."""

    stage: str
    key: str
    generation: int
    shown: bool
    files: dict[str, bytes]


def whole_entries(folder: Path, *, unnamed: bool = False) -> dict[str, WholeEntry]:
    """All whole entries by name: or those that a killed process had yet to give their names."""
    found = {}
    for entry in sorted((folder / "made").glob("*/record.json")):
        if entry.parent.name.startswith(".") != unnamed or "-others-" in entry.parent.name:
            continue
        try:
            record = json.loads(entry.read_bytes())
            files = {name: (entry.parent / name).read_bytes() for name in record["files"]}
        except (OSError, ValueError, TypeError, KeyError):
            continue
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        if digests == {name: file["sha256"] for name, file in record["files"].items()}:
            origin = record["origin"]["generation"], record["shown"]
            whole = WholeEntry(record["stage"], record["key"], *origin, files)
            found[f"{record['stage']}-{record['key']}"] = whole
    return found


def manifest(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "rayred.json").read_text()))
    except FileNotFoundError:
        return {"study": "", "studies": {}, "generation": 0, "owns": []}


def study(folder: Path, key: str) -> dict[str, Any]:
    nothing = {"parts": {}, "finished": False, "since": 0}
    return dict(manifest(folder)["studies"].get(key, nothing))


def top_files(folder: Path) -> dict[str, bytes]:
    """All files of the folder but the manifest and those of the entries, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in INTERNAL
    }


def unfinished(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*.rayred-*") if path.name != ".lock"]

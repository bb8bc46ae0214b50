"""The run folder: what a study has made, under keys; never overwrites."""

from __future__ import annotations

from rayred.store.bucket import existing_folder, name_of, place_of, working_folder
from rayred.store.cleaning import Unneeded, find_unneeded, remove_unneeded
from rayred.store.entries import Entry, all_entries
from rayred.store.folder import CHECKPOINTS, Store
from rayred.store.manifest import MANIFEST
from rayred.store.opening import check_folder, check_no_changes, open_store
from rayred.store.stage import ENVIRONMENT, Made, Stage, json_stage, path_stage
from rayred.store.views import CONFIG_FILE

__all__ = [
    "CHECKPOINTS",
    "CONFIG_FILE",
    "ENVIRONMENT",
    "MANIFEST",
    "Entry",
    "Made",
    "Stage",
    "Store",
    "Unneeded",
    "all_entries",
    "check_folder",
    "check_no_changes",
    "existing_folder",
    "find_unneeded",
    "json_stage",
    "name_of",
    "open_store",
    "path_stage",
    "place_of",
    "remove_unneeded",
    "working_folder",
]

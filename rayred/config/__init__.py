"""Typed settings of an experiment, in groups: their defaults, allowed values and checks."""

from rayred.config.base import Settings
from rayred.config.data import Data
from rayred.config.experiment import (
    DATASETS,
    MODELS,
    SEARCHED,
    Candidate,
    Experiment,
    check_dataset_name,
)
from rayred.config.linkage import Linkage
from rayred.config.resources import Resources
from rayred.config.selection import Selection
from rayred.config.sweep import Search, Sweep
from rayred.config.tracking import Tracking
from rayred.config.train import RECIPES, Augment, Train
from rayred.config.verdict import Verdict

__all__ = [
    "DATASETS",
    "MODELS",
    "RECIPES",
    "SEARCHED",
    "Augment",
    "Candidate",
    "Data",
    "Experiment",
    "Linkage",
    "Resources",
    "Search",
    "Selection",
    "Settings",
    "Sweep",
    "Tracking",
    "Train",
    "Verdict",
    "check_dataset_name",
]

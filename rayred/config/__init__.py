"""The experiment as typed settings: every key, its default and what is allowed."""

from rayred.config.base import Settings
from rayred.config.data import Data
from rayred.config.experiment import DATASETS, MODELS, Experiment, check_dataset_name
from rayred.config.linkage import Linkage
from rayred.config.resources import Resources
from rayred.config.sweep import Search, Sweep
from rayred.config.tracking import Tracking
from rayred.config.train import OF_CHECKPOINTS, RECIPES, Augment, Train
from rayred.config.verdict import Verdict

__all__ = [
    "DATASETS",
    "MODELS",
    "OF_CHECKPOINTS",
    "RECIPES",
    "Augment",
    "Data",
    "Experiment",
    "Linkage",
    "Resources",
    "Search",
    "Settings",
    "Sweep",
    "Tracking",
    "Train",
    "Verdict",
    "check_dataset_name",
]

"""rayred finds out how much of a labelled image data set is redundant.

It proves it by retraining, and hands back the smaller data set.

>>> import numpy as np
>>> from rayred import complete_linkage, representatives
>>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
>>> labels = complete_linkage(x, n_clusters=2).labels(2)
>>> representatives(x, labels)
array([0, 1])
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rayred.clustering.groups import redundant_groups
    from rayred.data import load_dataset
    from rayred.doubles import check
    from rayred.linkage import CompleteLinkage, complete_linkage, representatives
    from rayred.pipeline import run
    from rayred.pruning.jobs import prune
    from rayred.pruning.verifying import verify
    from rayred.selection.estimator import SubsetSelector

__all__ = [
    "CompleteLinkage",
    "SubsetSelector",
    "check",
    "complete_linkage",
    "load_dataset",
    "prune",
    "redundant_groups",
    "representatives",
    "run",
    "verify",
]
__version__ = version("rayred")

_MODULES = {
    "check": "rayred.doubles",
    "CompleteLinkage": "rayred.linkage",
    "complete_linkage": "rayred.linkage",
    "load_dataset": "rayred.data",
    "prune": "rayred.pruning.jobs",
    "redundant_groups": "rayred.clustering.groups",
    "representatives": "rayred.linkage",
    "run": "rayred.pipeline",
    "verify": "rayred.pruning.verifying",
    "SubsetSelector": "rayred.selection.estimator",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: the linkage needs no Ray, the command line no torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'rayred' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)

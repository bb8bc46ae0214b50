"""Hierarchical clustering of rows under cosine distance: trees, cuts and representatives.

The room can be used by itself: it imports nothing else of rayred, and knows neither images nor
networks nor Ray. Its names are imported when they are first used, so that a module that only reads
a `Tree` does not load torch. `README.md` beside this file explains the algorithm.

>>> import numpy as np
>>> from rayred.linkage import complete_linkage, representatives
>>> x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0], [1.0, 0.05]])
>>> tree = complete_linkage(x, n_clusters=2)
>>> tree.labels(2)
array([0, 1, 0, 1, 0])
>>> representatives(x, tree.labels(2))
array([4, 1])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rayred.linkage.build import complete_linkage, linkage_trees
    from rayred.linkage.closest import representatives
    from rayred.linkage.estimator import CompleteLinkage
    from rayred.linkage.settings import EngineSettings
    from rayred.linkage.tree import Tree

__all__ = [
    "CompleteLinkage",
    "EngineSettings",
    "Tree",
    "complete_linkage",
    "linkage_trees",
    "representatives",
]

# No name here may be that of a module of this room: importing the module would replace it.
_MODULES = {
    "CompleteLinkage": "estimator",
    "EngineSettings": "settings",
    "Tree": "tree",
    "complete_linkage": "build",
    "linkage_trees": "build",
    "representatives": "closest",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Selectors, which choose the training images to keep, and the subsets that they make.

A selector is one module with one function, listed in `SELECTORS`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.config import Sweep
from rayred.config.sweep import GIVEN
from rayred.errors import ConfigError
from rayred.files import write_array
from rayred.results.trial import FULL
from rayred.selection.candidates import Candidates
from rayred.selection.ccs import select_ccs
from rayred.selection.d2 import select_d2
from rayred.selection.el2n import select_el2n
from rayred.selection.facility_location import select_facility_location
from rayred.selection.forgetting import select_forgetting
from rayred.selection.herding import select_herding
from rayred.selection.k_center import select_k_center
from rayred.selection.prototypes import select_prototypes_easy, select_prototypes_hard
from rayred.selection.random import select_random
from rayred.selection.semantic import select_semantic
from rayred.selection.semdedup import select_semdedup

__all__ = [
    "SELECTORS",
    "Candidates",
    "Selector",
    "Subset",
    "load_subsets",
    "make_subsets",
    "needs_scores",
    "save_subsets",
    "subset_name",
]


@dataclass(frozen=True)
class Selector:
    """How a subset is chosen."""

    select: Callable[[Candidates, float, np.random.Generator], NDArray[np.int64]]
    """Function of candidates, fraction and generator that returns a `Subset`."""
    redrawn: bool = False
    """Whether a new subset is drawn for every trial."""
    needs: tuple[str, ...] = ()
    """Names of the scores that it chooses by, see `Candidates.scores`."""


SELECTORS = {
    "semantic": Selector(select_semantic),
    "random": Selector(select_random, redrawn=True),
    "k_center": Selector(select_k_center),
    "herding": Selector(select_herding),
    "el2n": Selector(select_el2n, needs=("el2n",)),
    "forgetting": Selector(select_forgetting, needs=("forgetting",)),
    "ccs": Selector(select_ccs, redrawn=True, needs=("el2n",)),
    "semdedup": Selector(select_semdedup),
    "prototypes_easy": Selector(select_prototypes_easy),
    "prototypes_hard": Selector(select_prototypes_hard),
    "facility_location": Selector(select_facility_location),
    "d2": Selector(select_d2, needs=("el2n",)),
}

Subset = NDArray[np.int64]
"""(n,) int64, ascending: indices of the training images that are kept."""


def needs_scores(selectors: Sequence[str]) -> bool:
    """Return whether one of the selectors chooses by how images were learned."""
    return any(SELECTORS[name].needs for name in selectors if name != GIVEN)


def subset_name(selector: str, fraction: float, trial: int) -> str:
    """Return ``SELECTOR-FRACTION``, with ``-TRIAL`` if every trial has its own subset."""
    name = f"{selector}-{fraction!r}"
    redrawn = selector in SELECTORS and SELECTORS[selector].redrawn
    return f"{name}-{trial}" if redrawn else name


def make_subsets(candidates: Candidates, sweep: Sweep, seed: int) -> dict[str, Subset]:
    """Return all subsets of a sweep by `subset_name`; fraction 1 is the full set.

    Raises
    ------
    ConfigError
        A selector chooses by scores that the candidates do not have.
    """
    choosing = [selector for selector in sweep.selectors if selector != GIVEN]
    for selector in choosing:
        missing = [name for name in SELECTORS[selector].needs if name not in candidates.scores]
        if missing:
            raise ConfigError(
                f"sweep.selectors: {selector!r} chooses by the scores {', '.join(missing)}, which"
                " this study does not gather"
            )
    subsets: dict[str, Subset] = {}
    for fraction in sweep.fractions:
        if fraction == 1:
            everything = np.arange(len(candidates.labels), dtype=np.int64)
            subsets[subset_name(FULL, fraction, 0)] = everything
            continue
        if candidates.given is not None:
            subsets[subset_name(GIVEN, fraction, 0)] = candidates.given
        for selector in choosing:
            for trial in range(sweep.trials if SELECTORS[selector].redrawn else 1):
                which = zlib.crc32(selector.encode())
                rng = np.random.default_rng([seed, trial, int(fraction * 2**32), which])
                name = subset_name(selector, fraction, trial)
                subsets[name] = SELECTORS[selector].select(candidates, fraction, rng)
    return subsets


def save_subsets(folder: Path, subsets: dict[str, Subset]) -> None:
    """Write each subset to ``folder/NAME.npy``; the folder must not exist."""
    folder.mkdir()
    for name, indices in subsets.items():
        write_array(folder / f"{name}.npy", indices)


def load_subsets(folder: Path) -> dict[str, Subset]:
    """Return the subsets that `save_subsets` wrote, by name."""
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}

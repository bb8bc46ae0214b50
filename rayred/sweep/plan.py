"""The trials of a sweep, in the order in which they start, and how they are packed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rayred.config import Sweep
from rayred.results.trial import FULL, Trial
from rayred.selection import subset_name


def plan_trials(sweep: Sweep, seed: int) -> list[Trial]:
    """Return all trials, one repetition after another, so that a part of them is already useful.

    The full set is trained on once a repetition, not once a selector.
    """
    plan = []
    for number in range(sweep.trials):
        train_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        for fraction in sorted(sweep.fractions, reverse=True):
            for selector in [FULL] if fraction == 1 else sweep.selectors:
                name = subset_name(selector, fraction, number)
                plan.append(Trial(selector, fraction, number, train_seed, name))
    return plan


def make_packs(trials: Sequence[Trial], size: int) -> list[list[Trial]]:
    """Put trials of the same selector and fraction together, up to `size` into a pack.

    Packs are in the order of their first trials; those of one selector and fraction differ in size
    by one at most.
    """
    cells: dict[tuple[str, float], list[Trial]] = {}
    for trial in trials:
        cells.setdefault((trial.selector, trial.fraction), []).append(trial)
    packs = [
        [cell[i] for i in part]
        for cell in cells.values()
        for part in np.array_split(np.arange(len(cell)), -(-len(cell) // size))
    ]
    return sorted(packs, key=lambda pack: trials.index(pack[0]))

"""Small candidates for the tests of selectors, and what runs classes in odd ways."""

from __future__ import annotations

import pickle

import numpy as np

from rayred.clustering.groups import redundant_groups
from rayred.selection import Candidates

FRACTIONS = [0.9, 0.5, 0.2]


def rows(n: int, seed: int = 0, d: int = 5) -> np.ndarray:
    """Rows of length 1 in a few heaps; no two are equal."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, d))[rng.integers(3, size=n)] + 0.5 * rng.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def odd_candidates(seed: int = 0, map=map) -> Candidates:
    """Classes with equal rows, of equal rows alone, of one row, and with rows that are all zero."""
    rng = np.random.default_rng(seed)
    parts = [rows(30, seed), rows(20, 1), np.ones((7, 5)), rows(1, 2), rows(12, 3)]
    parts[1][5:11] = parts[1][4]
    parts[4][[2, 7, 8]] = 0
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = rng.permutation(len(labels))
    x, labels = np.concatenate(parts).astype(np.float32)[order], labels[order]
    groups = redundant_groups(x, labels, FRACTIONS, zero_rows="apart")
    scores = {
        "el2n": np.round(rng.uniform(0, 1.4, len(labels)), 1),
        "forgetting": np.where(rng.random(len(labels)) < 0.1, np.inf, rng.poisson(1, len(labels))),
    }
    return Candidates(labels, x, groups, scores, map)


def backwards(function, tasks):
    """A map that runs a copy of its function, and returns the results in the other order."""
    function = pickle.loads(pickle.dumps(function))
    return reversed([function(pickle.loads(pickle.dumps(task))) for task in tasks])

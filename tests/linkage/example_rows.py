"""Rows of different structure that the tests of the room share."""

from __future__ import annotations

import numpy as np

KINDS = ("uniform", "clustered", "collapsed", "positive")


def make_rows(kind: str, n: int, d: int, seed: int) -> np.ndarray:
    """Return (n, d) float64 rows.

    uniform: all directions alike. clustered: about eight rows around each centre. collapsed: all
    rows within cosine distances of about 1e-5. positive: no negative entry, in three dimensions.
    """
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        return rng.normal(size=(n, d))
    if kind == "clustered":
        centres = rng.normal(size=(max(1, n // 8), d))
        return centres[rng.integers(0, len(centres), n)] + 0.05 * rng.normal(size=(n, d))
    if kind == "collapsed":
        return 5 * rng.normal(size=d) + 0.02 * rng.exponential(size=(n, 1)) * rng.normal(
            size=(n, d)
        )
    return np.abs(rng.normal(size=(n, 3)) @ rng.normal(size=(3, d))) + 1e-3

"""The p-values of all claims of a table, corrected so that hardly any table holds a false one.

A table claims of each of its K cells that it is *equivalent* to the full set, or *worse*, or
nothing. The chance that any of these claims is false is at most 5 %, whatever the true differences
are: all cells of all selectors, and both kinds of claim, are one family.

The procedure is closed testing with a Bonferroni test of every intersection hypothesis in which a
*cell* counts once, not a claim. That is allowed since the two claims of a cell can both be false
only if the difference d is the margin or more; then either claim takes an estimate so far below d
that a one-sided test of d ≥ margin rejects too. So a cell takes one share of the 5 % for both of
its claims. The level is 5 % / K for all cells. As in Holm's procedure a cell drops out, and leaves
its share to the others, once nothing false is left to claim of it: here, if both *equivalent* and
*worse* are shown (a loss that is real and does not matter).

It claims all that Holm's procedure over the 2 K claims claims, and more: there an equivalent cell's
second claim, which never comes, takes up a share until the end. A fixed order (larger fractions
first, at a level of 5 % for each) was not taken: *equivalent* and *worse*, and each selector, need
an order of their own, so that it takes four with two selectors, at 5 % / 4; and one fraction that
stays undecided by bad luck forbids all claims behind it.

>>> import numpy as np
>>> equivalent, worse = corrected(np.array([0.002, 0.9, 0.2]), np.array([0.8, 0.001, 0.1]))
>>> print(equivalent.round(4), worse.round(4))
[0.006 1.    0.6  ] [1.    0.003 0.3  ]

Source: Marcus, Peritz and Gabriel, On closed testing procedures with special reference to ordered
analysis of variance (1976); Shaffer, Modified sequentially rejective multiple test procedures
(1986), for hypotheses that cannot all be true; Holm, A simple sequentially rejective multiple test
procedure (1979).

Legend: K cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests

from rayred.verdict.crossed import Array


def corrected(equivalent_K: Array, worse_K: Array) -> tuple[Array, Array]:
    """Return the p-values of all claims of a table, corrected for their number.

    Parameters
    ----------
    equivalent_K, worse_K
        (..., K) p-values of the two claims of every cell, one table a row.

    Returns
    -------
    equivalent_K, worse_K
        (..., K) p-values, each to be compared with the level of the whole table.
    """
    # A claim has to stand against every set of other cells with one claim each: at worst the set
    # of the cells whose less likely claim is least likely.
    larger = np.maximum(equivalent_K, worse_K)
    cells = larger.shape[-1]
    equivalent, worse = equivalent_K.copy(), worse_K.copy()
    for cell in range(cells):
        others = -np.sort(-np.delete(larger, cell, axis=-1), axis=-1)
        for claims in (equivalent, worse):
            own = claims[..., cell].copy()
            for more in range(1, cells):
                against = (more + 1) * np.minimum(own, others[..., more - 1])
                claims[..., cell] = np.maximum(claims[..., cell], against)
    return np.minimum(equivalent, 1.0), np.minimum(worse, 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's procedure, in the given order."""
    if len(p_values) < 2:
        return list(p_values)
    return [float(p) for p in multipletests(p_values, method="holm")[1]]

"""How alike the subsets and groups are that several reference models lead to.

Legend: N images, n_c of them of class c, of which m_c are kept.

>>> import numpy as np
>>> jaccard(np.array([0, 2, 5]), np.array([2, 5, 7])), jaccard_of_random([10, 10], [5, 5])
(0.5, 0.3333333333333333)
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from rayred.clustering.groups import RedundantGroups


@dataclass(frozen=True)
class Spread:
    """A number of every pair of references."""

    mean: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one number."""
        return cls(float(np.mean(values)), min(values), max(values))


@dataclass(frozen=True)
class Overlap:
    """How alike references choose at one fraction."""

    fraction: float
    """Share of every class that is kept."""
    jaccard: Spread
    """`jaccard` index of the semantic subsets of each pair of references."""
    jaccard_of_random: float
    """What it would be of two random subsets, see `jaccard_of_random`."""
    adjusted_rand: Spread
    """`adjusted_rand` index of the redundant groups of each pair."""

    def sentence(self) -> str:
        """Return the overlap in words."""
        return (
            f"semantic subsets of {100 * self.fraction:g} % have a Jaccard index of"
            f" {self.jaccard.mean:.2f} (random ones {self.jaccard_of_random:.2f}), their groups an"
            f" adjusted Rand index of {self.adjusted_rand.mean:.2f}"
        )


def overlaps(choices: Sequence[RedundantGroups]) -> tuple[Overlap, ...]:
    """Return how alike the choices of several references are, fraction by fraction.

    Parameters
    ----------
    choices
        The groups and kept images of each reference, of the same images and fractions; at least two
        references.
    """
    members, pairs = choices[0].trees.members, list(combinations(choices, 2))
    sizes, found = [len(rows) for rows in members], []
    for fraction in choices[0].kept:
        kept = np.zeros(sum(sizes), dtype=bool)
        kept[choices[0].kept[fraction]] = True
        random = jaccard_of_random(sizes, [int(kept[rows].sum()) for rows in members])
        chosen = [jaccard(a.kept[fraction], b.kept[fraction]) for a, b in pairs]
        grouped = [
            adjusted_rand(a.trees.groups(fraction), b.trees.groups(fraction), members)
            for a, b in pairs
        ]
        found.append(Overlap(fraction, Spread.of(chosen), random, Spread.of(grouped)))
    return tuple(found)


def jaccard(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return the Jaccard index |A ∩ B| / |A ∪ B| of two subsets: 0 if disjoint, 1 if equal.

    Parameters
    ----------
    a, b
        Indices of images, each once; not both empty.
    """
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)


def jaccard_of_random(sizes: Sequence[int], kept: Sequence[int]) -> float:
    """Return about what the Jaccard index of two independent random subsets is expected to be.

    Each draws m_c of the n_c images of every class. They share E = Σ m_c² / n_c images on average,
    and with m = Σ m_c the index is taken at that average, E / (2 m − E): f / (2 − f) where every
    class keeps the share f. The index is convex in the number of shared images, so that its
    expectation is higher, but by no more than 2 Var / m² ≤ 0.5 / m, where Var is the variance of
    that number.

    Parameters
    ----------
    sizes, kept
        n_c and m_c of each class.
    """
    n, m = np.array(sizes, dtype=np.float64), np.array(kept, dtype=np.float64)
    common = float((m**2 / n).sum())
    return common / (2 * float(m.sum()) - common)


def adjusted_rand(
    a: NDArray[np.int64], b: NDArray[np.int64], members: Sequence[NDArray[np.int64]]
) -> float:
    """Return the adjusted Rand index of two groupings of each class, weighted by class size.

    Within a class it is 1 if the groups are equal, and 0 on average for random groups of these
    sizes. It is averaged with the class sizes as weights: pairs of images of different classes,
    which no reference groups, do not count as agreement. Nor do classes in which neither has a
    group of two images, unless there are no others: then it is 1.

    Parameters
    ----------
    a, b
        (N,) group of every image.
    members
        The images of each class.

    Source: Hubert and Arabie, Comparing partitions (1985).
    """
    # Imported here: reading a study needs no scikit-learn.
    from sklearn.metrics import adjusted_rand_score

    with warnings.catch_warnings():
        # Groups are many, as they should be here.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        grouped = [rows for rows in members if _has_groups(a[rows]) or _has_groups(b[rows])]
        values = [adjusted_rand_score(a[rows], b[rows]) for rows in grouped]
    return float(np.average(values, weights=list(map(len, grouped)))) if grouped else 1.0


def _has_groups(group: NDArray[np.int64]) -> bool:
    return len(np.unique(group)) < len(group)


def load_overlaps(stored: Any) -> tuple[Overlap, ...]:
    """Return the overlaps that `dataclasses.asdict` turned into JSON-like values.

    Raises
    ------
    ValueError
        The values are not those of overlaps.
    """
    return TypeAdapter(tuple[Overlap, ...]).validate_python(stored)

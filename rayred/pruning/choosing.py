"""Which images a smaller data set keeps: trees that are deep enough, cut, and one of each group."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.cuts import Cut
from rayred.clustering.groups import grow_trees, kept_rows
from rayred.clustering.labels import rows_of_classes
from rayred.clustering.maps import Map
from rayred.clustering.standing import Standing, highest_of_groups
from rayred.clustering.trees import ClassTrees
from rayred.config import Linkage, Sweep
from rayred.data import Split
from rayred.errors import DataError
from rayred.pruning.opening import Opened
from rayred.pruning.tables import BY_COLUMN, Choice, Chosen, Representative, Summary
from rayred.references import clustering_errors
from rayred.selection import Candidates, make_subsets
from rayred.stages import TREES
from rayred.store import Made
from rayred.study import zero_embeddings

logger = logging.getLogger(__name__)


def class_trees(opened: Opened, cut: Cut, *, keep: bool) -> Made[ClassTrees]:
    """Return trees of all classes that are deep enough for a cut; the folder keeps them or not."""
    job, images, x, map = opened.job, opened.images, opened.x, opened.map
    linkage = job.experiment.linkage

    def grow(fraction: float, max_distance: float) -> ClassTrees:
        return grow_trees(
            x.value,
            images.labels,
            fraction,
            linkage,
            map=map,
            workers=map.workers,
            device=map.device,
            zero_rows="apart",
            max_distance=max_distance,
        )

    def make() -> ClassTrees:
        with clustering_errors():
            for note in zero_embeddings(images, x.value):
                logger.warning("%s", note)
            return cut.trees(grow, images.class_sizes().tolist())

    if not keep:
        return Made(make(), "", "")
    key = keys.cut_trees(
        embeddings=x.digest,
        labels=keys.array(images.labels),
        linkage=linkage.deciding(),
        cut=cut.values(),
    )
    return job.store.run(TREES, key, make)


@dataclass(frozen=True)
class Clustered:
    """Images with their trees, from which any cut that these reach is chosen at once."""

    images: Split
    """N images."""
    x: NDArray[Any]
    """(N, D) what they are compared by."""
    trees: ClassTrees
    """Trees of all classes."""
    linkage: Linkage
    """How they were clustered."""
    reach: float
    """Largest distance at which all merges are known."""

    @classmethod
    def of(cls, opened: Opened, trees: ClassTrees, cut: Cut) -> Clustered:
        """Return the images with trees that reach down to a cut."""
        return cls(
            opened.images,
            opened.x.value,
            trees,
            opened.job.experiment.linkage,
            cut.reach(trees),
        )

    def choose(
        self, choices: Sequence[Choice], *, map: Map[Any, Any] = map, workers: int = 1
    ) -> list[tuple[Chosen, Summary]]:
        """Return the images that each choice keeps, and what it does in a few numbers.

        All keep the same representative. The work on classes is run by `map`.

        Raises
        ------
        ValueError
            The trees do not reach down to a cut.
        """
        counts = [choice.cut.counts(self.trees) for choice in choices]
        for one in counts:
            if any(n < tree.n_clusters for n, tree in zip(one, self.trees.trees, strict=True)):
                raise ValueError("the trees do not reach down to the share to keep: prune again")
        [representative] = {choice.representative for choice in choices}
        if representative == "centre":
            kept = kept_rows(self.x, self.trees, counts, self.linkage, map=map, workers=workers)
        else:
            value = preference(self.images, representative)
            kept = [highest_of_groups(self.trees.groups_at(one), value) for one in counts]
        found = []
        for choice, count, rows in zip(choices, counts, kept, strict=True):
            standing = Standing.of(self.x, self.trees, count, rows)
            chosen = Chosen(self.images, rows, standing, choice)
            found.append((chosen, Summary.of(chosen, self.trees.height_at(count))))
        return found


def choose_by(opened: Opened, choice: Choice) -> tuple[Chosen, Summary]:
    """Return the images that a selector without groups keeps: those of a study's first trial."""
    images, x, keep = opened.images, opened.x.value, choice.cut.keep
    assert keep is not None
    candidates = Candidates(images.labels, x, scores=opened.scores, map=opened.map)
    sweep = Sweep(fractions=[keep], selectors=[choice.by], trials=1)
    (rows,) = make_subsets(candidates, sweep, opened.job.experiment.seed).values()
    standing = Standing.nearest(x, candidates.members, rows)
    chosen = Chosen(images, rows, standing, choice)
    return chosen, Summary.of(chosen, float(standing.distance.max()))


def choose_edited(opened: Opened, choice: Choice) -> tuple[Chosen, Summary]:
    """Return the images that a person chose; the nearest of them stands for each of the others."""
    images, x, rows = opened.images, opened.x.value, opened.edited
    assert rows is not None
    standing = Standing.nearest(x, rows_of_classes(images.labels, len(images)), rows)
    chosen = Chosen(images, rows, standing, choice)
    return chosen, Summary.of(chosen, float(standing.distance.max()))


def preference(images: Split, representative: Representative) -> NDArray[Any]:
    """Return a number for each image, (N,), of which the highest of a group is kept."""
    if representative == "largest":
        return np.zeros(len(images), np.int64) if images.areas is None else images.areas
    if representative in BY_COLUMN:
        assert images.scores is not None
        sign = 1 if representative == "highest" else -1
        return np.where(np.isnan(images.scores), -np.inf, sign * images.scores)
    assert images.folder is not None
    try:
        changed = [(images.folder / name).stat().st_mtime_ns for name in images.names]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return -np.array(changed)

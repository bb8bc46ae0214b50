"""Redundant groups of any embeddings: files in, a file out."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from rayred.array_files import check_format, read_embeddings, read_labels, write_groups
from rayred.class_trees import kept_images
from rayred.errors import ConfigError
from rayred.linkage import linkage_trees, representatives

logger = logging.getLogger(__name__)


def group_embeddings(embeddings: Path, labels: Path, keep: float, out: Path) -> tuple[int, int]:
    """Cluster each class by complete linkage and write which rows to keep.

    Parameters
    ----------
    embeddings, labels, out
        Files, see `rayred.array_files`.
    keep
        Fraction of every class to keep, in (0, 1].

    Returns
    -------
    kept, rows
        How many rows are kept, of how many.

    Raises
    ------
    ConfigError
        A file or the fraction cannot be used.
    """
    if not 0 < keep <= 1:
        raise ConfigError(f"--keep {keep:g}: expected a fraction in (0, 1]")
    check_format(out)
    x = read_embeddings(embeddings)
    given = read_labels(labels, len(x))
    names, classes = np.unique(given, return_inverse=True)
    members = np.split(np.argsort(classes, kind="stable"), np.cumsum(np.bincount(classes))[:-1])
    counts = [kept_images(len(rows), keep) for rows in members]
    trees = linkage_trees(x, members, counts)
    groups = np.empty(len(x), dtype=np.int64)
    kept = []
    first = 0
    for number, (rows, count) in enumerate(zip(members, counts, strict=True), start=1):
        try:
            clusters = next(trees).labels(count)
            kept.append(rows[representatives(x[rows], clusters)])
        except ValueError as error:
            raise ConfigError(f"{embeddings}: class {names[number - 1]}: {error}") from error
        groups[rows] = first + clusters
        first += count
        logger.info(
            "class %s (%d of %d): %d of %d rows kept",
            names[number - 1],
            number,
            len(members),
            count,
            len(rows),
        )
    chosen = np.sort(np.concatenate(kept))
    write_groups(out, chosen, given, groups)
    return len(chosen), len(x)

"""Redundant groups of any embeddings: files in, a file out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rayred.clustering.array_files import check_format, read_embeddings, read_labels, write_groups
from rayred.clustering.trees import kept_images
from rayred.errors import ConfigError
from rayred.linkage import EngineSettings, linkage_trees, representatives
from rayred.progress import progress_bar


def group_embeddings(embeddings: Path, labels: Path, keep: float, out: Path) -> tuple[int, int]:
    """Cluster each class by complete linkage and write which rows to keep.

    Parameters
    ----------
    embeddings, labels, out
        Files, see `rayred.clustering.array_files`.
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
    groups = np.empty(len(x), dtype=np.int64)
    kept = []
    first = 0
    with progress_bar("clustering", "row", len(x)) as bar:
        settings = EngineSettings(
            progress=lambda stage, share: bar.set_postfix_str(f"{stage}: {share:.0%}")
        )
        trees = linkage_trees(x, members, counts, settings=settings)
        for name, rows, count in zip(names, members, counts, strict=True):
            try:
                clusters = next(trees).labels(count)
                kept.append(rows[representatives(x[rows], clusters)])
            except ValueError as error:
                raise ConfigError(f"{embeddings}: class {name}: {error}") from error
            groups[rows] = first + clusters
            first += count
            bar.update(len(rows))
    chosen = np.sort(np.concatenate(kept))
    write_groups(out, chosen, given, groups)
    return len(chosen), len(x)

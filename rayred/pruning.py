"""The smaller data set without a study: one image of every redundant group, as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.array_files import read_embeddings
from rayred.clustering.checks import check_rows
from rayred.config import Experiment
from rayred.config.file import override_experiment
from rayred.data import Dataset, Split, load_train_split
from rayred.errors import ConfigError, DataError
from rayred.files import Link, check_link, write_array
from rayred.job import begin, open_job
from rayred.kept_images import keep_images
from rayred.machines.connect import connect
from rayred.machines.failures import LOGS, ray_failures
from rayred.pipeline import choose_subsets, cluster_classes, embed, train_reference
from rayred.places import check_places
from rayred.results.trial import FULL
from rayred.selection import Subset, subset_name
from rayred.store import Made, Stage


@dataclass(frozen=True)
class Pruned:
    """A data set made smaller."""

    folder: Path
    """Folder with `kept.npy`, `groups.parquet` and, of an image folder, `images/`."""
    kept: Subset
    """(n,) int64, ascending: the rows of the data set that are kept."""
    n_images: int
    """Images of the whole data set."""


def prune(
    dataset: str,
    keep: float,
    out: Path | str,
    *,
    embeddings: Path | None = None,
    link: Link = "copy",
    overrides: Sequence[str] = (),
    address: str | None = None,
    fresh: bool = False,
    update: bool = False,
) -> Pruned:
    """Return the smaller data set without proving anything: one image of every redundant group.

    Parameters
    ----------
    dataset
        Name of the data set; of a ``folder:PATH``, PATH/CLASS/* will do.
    keep
        Fraction of every class to keep, in (0, 1].
    out
        Folder for the result.
    embeddings
        File with one embedding an image, in data set order; by default those of a reference
        model that is trained now.
    link
        How the kept image files are put into ``images/``: as copies, which share the disk's blocks
        with the originals where the file system can do so; as hard links; or as symbolic links.
    overrides
        ``key.path=value`` settings of the reference training and the linkage.
    address
        Ray cluster to work on; by default RAY_ADDRESS, else this machine.
    fresh
        Start over in a folder that holds an earlier run.
    update
        Go on in a folder that holds another config: only what depends on the changes is made again.

    Raises
    ------
    RayredError
        Something cannot be used as given, or failed; the message says what to do.
    """
    experiment = _experiment(dataset, keep, overrides).with_absolute_paths()
    path = Path(out)
    check_places(experiment, path, *([embeddings] if embeddings else []))
    experiment = begin(experiment, path, fresh=fresh, update=update)
    whole_images = experiment.needs_whole_images()
    images = load_train_split(experiment.dataset, experiment.data, whole=whole_images)
    check_link(link, images.folder, path)
    # There is no test split: the reference is tested on the images that it was trained on.
    whole = Dataset(experiment.dataset, images, images)
    given = None if embeddings is None else _given(embeddings, images)
    with (
        connect(address) as cluster,
        open_job(experiment, path, whole, cluster, fresh=fresh, update=update) as job,
        ray_failures(job.store.place(LOGS)),
        job.class_map() as map,
    ):
        space = given or embed(job, train_reference(job))
        trees = cluster_classes(job, space, map)
        subsets = choose_subsets(job, space, trees, map)
        kept = subsets[subset_name("semantic" if keep < 1 else FULL, keep, 0)]
        chosen = Chosen(images, kept, trees.value.groups(keep))
        key = keys.pruned(dataset=whole.digest, trees=trees.digest, fraction=keep)
        job.store.keep(PRUNED, key, lambda: chosen)
        keep_images(job.store, images, kept, key, link)
        job.store.finish()
    return Pruned(job.store.path, images.rows[kept], len(images))


def _experiment(dataset: str, keep: float, overrides: Sequence[str]) -> Experiment:
    sweep = {"fractions": [keep], "selectors": ["semantic"], "trials": 1}
    settings: dict[str, Any] = {"dataset": dataset, "sweep": sweep}
    if dataset.startswith("parquet:"):
        settings["data"] = {"test": dataset}
    experiment = override_experiment(settings, "prune", overrides)
    if experiment.sweep.space:
        raise ConfigError("prune: sweep.space: nothing is searched for here; use rayred run")
    return experiment


def _given(path: Path, images: Split) -> Made[NDArray[Any]]:
    """Return the embeddings in a file, one an image, under a key of their type and values.

    The file may have a row for every row of the data set, or for every image that is used.
    """
    embeddings, rows = read_embeddings(path), np.arange(len(images))
    if len(embeddings) == images.n_rows() != len(images):
        embeddings, rows = embeddings[images.rows], images.rows
    if len(embeddings) != len(images):
        raise DataError(f"{path}: has {len(embeddings)} rows for {len(images)} images")
    try:
        check_rows(embeddings, images.labels, images.classes, rows)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    digest = keys.array(embeddings)
    return Made(embeddings, digest, digest)


@dataclass(frozen=True)
class Chosen:
    """Which images of a data set are kept, and why the others are not."""

    split: Split
    """The N images."""
    kept: NDArray[np.int64]
    """(n,) int64, which of the N images are kept, ascending."""
    groups: NDArray[np.int64]
    """(N,) redundant group of every image."""


def _save_tables(folder: Path, chosen: Chosen) -> None:
    """Write kept.npy and groups.parquet."""
    split, kept = chosen.split, chosen.kept
    write_array(folder / "kept.npy", split.rows[kept])
    table = pa.table(
        {
            "index": split.rows,
            "name": list(split.names),
            "class": [split.classes[label] for label in split.labels],
            "group": chosen.groups,
            "kept": np.isin(np.arange(len(split)), kept),
        }
    )
    pq.write_table(table, folder / "groups.parquet")


PRUNED = Stage[Chosen, None]("pruned", _save_tables, lambda _: None)

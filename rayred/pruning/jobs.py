"""The smaller data set without a study: one image of every redundant group, as files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred import keys
from rayred.clustering.array_files import read_embeddings
from rayred.clustering.checks import check_rows
from rayred.clustering.cuts import Cut
from rayred.clustering.groups import grow_trees, kept_rows
from rayred.clustering.on_ray import RayMap
from rayred.clustering.standing import Standing, highest_of_groups
from rayred.clustering.trees import ClassTrees
from rayred.config import Experiment
from rayred.config.file import override_experiment
from rayred.data import Dataset, Split, load_train_split
from rayred.data.thumbnails import thumbnails
from rayred.errors import ConfigError, DataError, RunFolderError
from rayred.files import Link, check_link
from rayred.job import Job, begin, open_job
from rayred.machines.connect import connect
from rayred.machines.failures import LOGS, ray_failures
from rayred.pipeline import clustering_errors, embed, score_images, train_reference
from rayred.places import check_places
from rayred.pruning.images import keep_images
from rayred.pruning.tables import PRUNED, Choice, Chosen, Representative, Summary
from rayred.stages import TREES
from rayred.store import Made
from rayred.study import emptied_classes, zero_embeddings

if TYPE_CHECKING:
    import datasets
    import pandas
    from torch.utils.data import Dataset as TorchDataset
    from torch.utils.data import Subset

logger = logging.getLogger(__name__)

Allocate = Literal["class", "common"]
"""Whether each class keeps its fraction, or all images together."""
SHARES = (0.95, 0.9, 0.8, 0.7, 0.5)
"""Shares to keep of which `look` says what they would do."""


@dataclass(frozen=True)
class Pruned:
    """A data set made smaller."""

    folder: Path
    """Folder with `kept.npy`, `kept.txt`, `discarded.csv`, `groups.parquet` and, of an image
    folder, `images/`."""
    kept: NDArray[np.int64]
    """(n,) int64, ascending: the rows of the data set that are kept."""
    n_images: int
    """Images of the whole data set."""
    n_rows: int
    """Rows of the whole data set, some of which may be no images that can be used."""
    summary: Summary
    """What the cut does, in a few numbers."""

    @property
    def groups(self) -> pandas.DataFrame:
        """All images: name, class, row, representative (a row), distance, group, kept."""
        frame: pandas.DataFrame = pq.read_table(self.folder / "groups.parquet").to_pandas()
        return frame

    def subset(self, dataset: TorchDataset[Any]) -> Subset[Any]:
        """Return the kept rows of a PyTorch data set that has the rows of the whole data set.

        Raises
        ------
        ValueError
            It has another number of rows.
        """
        from torch.utils.data import Subset

        self._check_rows(dataset)
        return Subset(dataset, self.kept.tolist())

    def select(self, dataset: datasets.Dataset) -> datasets.Dataset:
        """Return the kept rows of a Hugging Face data set, as `subset` does."""
        self._check_rows(dataset)
        return dataset.select(self.kept)

    def _check_rows(self, dataset: Any) -> None:
        if len(dataset) != self.n_rows:
            raise ValueError(
                f"the data set has {len(dataset):,} rows, and {self.n_rows:,} were pruned"
            )


def prune(
    dataset: str,
    keep: float | None,
    out: Path | str,
    *,
    max_distance: float | None = None,
    allocate: Allocate = "class",
    floor: int = 1,
    representative: Representative = "centre",
    embeddings: Path | None = None,
    pixels: bool = False,
    unlabelled: bool = False,
    link: Link = "copy",
    dry_run: bool = False,
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
        Fraction of every class to keep, in (0, 1], or with ``allocate="common"`` of all images;
        `None` if there is a `max_distance`.
    out
        Folder for the result.
    max_distance
        Largest cosine distance of two images of a group, 0 to 2, in place of `keep`: one height for
        all classes.
    allocate
        ``class``: each class keeps its fraction. ``common``: the fraction of all images is kept by
        one distance for all classes, so that classes with more redundant images give more.
    floor
        Fewest images of a class to keep, if it has so many.
    representative
        Which image of a group is kept: the one closest to its centre, the one of most pixels, or,
        of image files, the one that was changed first. Of equals, that of the lowest row.
    embeddings
        File with one embedding an image, in data set order; by default those of a reference
        model that is trained now.
    pixels
        Whether to compare thumbnails, see `rayred.data.thumbnails`, in place of embeddings.
    unlabelled
        Whether all images are one class, of a ``folder:PATH`` those at any depth. There have to be
        embeddings or pixels then, as a reference model is trained on labels.
    link
        How the kept image files are put into ``images/``: as copies, which share the disk's blocks
        with the originals where the file system can do so; as hard links; or as symbolic links.
    dry_run
        Only find out what would be kept: neither tables nor images are written. The reference model
        and its embeddings are, so that the next call goes on from them.
    overrides
        ``key.path=value`` settings of the reference training and the linkage.
    address
        Ray cluster to work on; by default RAY_ADDRESS, else this machine.
    fresh
        Start over in a folder that holds an earlier run.
    update
        Go on in a folder that holds another config or cut: only what depends on the changes is
        made again.

    Raises
    ------
    RayredError
        Something cannot be used as given, or failed; the message says what to do.
    """
    _check_known("allocate", allocate, get_args(Allocate))
    _check_known("representative", representative, get_args(Representative))
    try:
        cut = Cut(keep, max_distance, common=allocate == "common", floor=floor)
    except ValueError as error:
        raise ConfigError(f"prune: {error}") from error
    choice = Choice(cut, representative)
    space = _Space(embeddings, pixels, unlabelled)
    settings = _Settings(
        dataset, Path(out), space, representative, link, overrides, address, fresh, update
    )
    with _opened(settings) as (job, x, map):
        if not (dry_run or fresh or update):
            _check_choice(job, choice)
        for note in _rounded_away(job.dataset, cut):
            logger.warning("%s", note)
        trees = _trees(job, x, map, cut, keep=not dry_run)
        [(chosen, summary)] = _choose(job, x, trees.value, map, [cut], representative)
        if not dry_run:
            key = keys.pruned(
                dataset=job.dataset.digest,
                embeddings=x.digest,
                trees=trees.digest,
                kept=keys.array(chosen.kept),
                choice=choice.values(),
            )
            score_images(job, trees)
            job.store.keep(PRUNED, key, lambda: chosen)
            keep_images(job.store, chosen.split, chosen.kept, key, link)
            job.store.finish()
        rows = chosen.split.rows[chosen.kept]
        split = chosen.split
        return Pruned(job.store.path, rows, len(split), split.n_rows(), summary)


def look(
    dataset: str,
    out: Path | str,
    *,
    floor: int = 1,
    embeddings: Path | None = None,
    pixels: bool = False,
    unlabelled: bool = False,
    overrides: Sequence[str] = (),
    address: str | None = None,
    fresh: bool = False,
    update: bool = False,
) -> list[Summary]:
    """Return what several cuts would do, of every class and by one distance: nothing is pruned.

    Parameters and errors are those of `prune`; the reference model and its embeddings are kept in
    `out`, so that pruning goes on from them.
    """
    space = _Space(embeddings, pixels, unlabelled)
    settings = _Settings(
        dataset, Path(out), space, "centre", "copy", overrides, address, fresh, update
    )
    with _opened(settings) as (job, x, map):
        summaries = []
        for common in (False, True):
            cuts = [Cut(share, common=common, floor=floor) for share in SHARES]
            trees = _trees(job, x, map, cuts[-1], keep=False).value
            found = _choose(job, x, trees, map, cuts, "centre")
            summaries += [summary for _, summary in found]
        return summaries


@dataclass(frozen=True)
class _Space:
    """In which space images are compared; by default that of a reference model."""

    embeddings: Path | None
    pixels: bool
    unlabelled: bool

    def __post_init__(self) -> None:
        if self.embeddings is not None and self.pixels:
            raise ConfigError("prune: give either embeddings or pixels")
        if self.unlabelled and self.embeddings is None and not self.pixels:
            raise ConfigError(
                "prune: without labels no reference model can be trained; give --embeddings FILE or"
                " --pixels"
            )

    def files(self) -> list[Path]:
        return [] if self.embeddings is None else [self.embeddings]

    def given(self, images: Split) -> Made[NDArray[Any]] | None:
        """Return what the images are compared by, unless a reference model has to embed them."""
        if self.embeddings is not None:
            return _given(self.embeddings, images)
        if not self.pixels:
            return None
        x = thumbnails(images)
        digest = keys.array(x)
        return Made(x, digest, digest)


@dataclass(frozen=True)
class _Settings:
    dataset: str
    out: Path
    space: _Space
    representative: Representative
    link: Link
    overrides: Sequence[str]
    address: str | None
    fresh: bool
    update: bool


@contextmanager
def _opened(given: _Settings) -> Iterator[tuple[Job, Made[NDArray[Any]], RayMap]]:
    """Open the folder and the embeddings of the images, and what maps the work on classes."""
    experiment = _experiment(given).with_absolute_paths()
    check_places(experiment, given.out, *given.space.files())
    again = {"fresh": given.fresh, "update": given.update}
    experiment = begin(experiment, given.out, **again)
    whole_images = experiment.needs_whole_images()
    images = load_train_split(experiment.dataset, experiment.data, whole=whole_images)
    check_link(given.link, images.folder, given.out)
    if given.representative == "oldest" and images.folder is None:
        raise ConfigError("prune: oldest: images that are no files have no age; keep the largest")
    # There is no test split: the reference is tested on the images that it was trained on.
    whole = Dataset(experiment.dataset, images, images)
    x = given.space.given(images)
    with (
        connect(given.address) as cluster,
        open_job(experiment, given.out, whole, cluster, **again) as job,
        ray_failures(job.store.place(LOGS)),
        job.class_map() as map,
    ):
        yield job, x or embed(job, train_reference(job)), map


def _experiment(given: _Settings) -> Experiment:
    dataset = given.dataset
    sweep = {"fractions": [1.0], "selectors": ["semantic"], "trials": 1}
    # As it is: images of several sizes are brought to one, and what cannot be used is listed.
    data: dict[str, Any] = {"image_size": "auto", "undecodable": "skip"}
    data["unlabelled"] = given.space.unlabelled
    if dataset.startswith("parquet:"):
        data["test"] = dataset
    settings: dict[str, Any] = {"dataset": dataset, "data": data, "sweep": sweep}
    experiment = override_experiment(settings, "prune", given.overrides)
    if experiment.sweep.space:
        raise ConfigError("prune: sweep.space: nothing is searched for here; use rayred run")
    return experiment


def _check_known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"prune: {name}: {value!r}: expected {', '.join(known)}")


def _check_choice(job: Job, choice: Choice) -> None:
    before = job.store.current(PRUNED)
    if before is not None and before.value != choice:
        raise RunFolderError(
            f"{job.store.path} holds another smaller data set ({before.value.sentence()});"
            " --update makes it this one, --fresh starts over, or choose another --out"
        )


def _rounded_away(dataset: Dataset, cut: Cut) -> list[str]:
    return [] if cut.keep is None or cut.common else emptied_classes(dataset, [cut.keep])


def _trees(
    job: Job, x: Made[NDArray[Any]], map: RayMap, cut: Cut, *, keep: bool
) -> Made[ClassTrees]:
    """Return trees of all classes that are deep enough for a cut; the folder keeps them or not."""
    linkage, labels = job.experiment.linkage, job.dataset.train.labels

    def grow(fraction: float, max_distance: float) -> ClassTrees:
        return grow_trees(
            x.value,
            labels,
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
            for note in zero_embeddings(job.dataset, x.value):
                logger.warning("%s", note)
            return cut.trees(grow, job.dataset.train.class_sizes().tolist())

    if not keep:
        return Made(make(), "", "")
    key = keys.cut_trees(embeddings=x.digest, linkage=linkage.deciding(), cut=cut.values())
    return job.store.run(TREES, key, make)


def _choose(
    job: Job,
    x: Made[NDArray[Any]],
    trees: ClassTrees,
    map: RayMap,
    cuts: Sequence[Cut],
    representative: Representative,
) -> list[tuple[Chosen, Summary]]:
    """Return the images that each cut keeps, and what it does in a few numbers."""
    counts = [cut.counts(trees) for cut in cuts]
    images, linkage = job.dataset.train, job.experiment.linkage
    if representative == "centre":
        kept = kept_rows(x.value, trees, counts, linkage, map=map, workers=map.workers)
    else:
        preference = _preference(images, representative)
        kept = [highest_of_groups(trees.groups_at(one), preference) for one in counts]
    found = []
    for cut, count, rows in zip(cuts, counts, kept, strict=True):
        standing = Standing.of(x.value, trees, count, rows)
        chosen = Chosen(images, rows, standing, Choice(cut, representative))
        found.append((chosen, Summary.of(chosen, trees.height_at(count))))
    return found


def _preference(images: Split, representative: Representative) -> NDArray[np.int64]:
    """Return a number for each image, (N,), of which the highest of a group is kept."""
    if representative == "largest":
        return np.zeros(len(images), np.int64) if images.areas is None else images.areas
    assert images.folder is not None
    try:
        changed = [(images.folder / name).stat().st_mtime_ns for name in images.names]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return -np.array(changed)


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

"""The smaller data set without a study: one image of every redundant group, as files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from decimal import ROUND_CEILING, Context
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from rayred import keys
from rayred.clustering.cuts import Cut
from rayred.clustering.nearest import Nearest
from rayred.clustering.trees import kept_images
from rayred.config import Sweep
from rayred.data import Split
from rayred.errors import ConfigError, RunFolderError
from rayred.files import Link
from rayred.job import Job
from rayred.pipeline import score_images
from rayred.pruning.choosing import Clustered, choose_by, choose_edited, class_trees
from rayred.pruning.kept import keep_data
from rayred.pruning.known import KNOWN
from rayred.pruning.opening import Opened, Settings, opened
from rayred.pruning.page import PAGE, Page
from rayred.pruning.result import Pruned
from rayred.pruning.tables import BY_COLUMN, PRUNED, Choice, Representative, Summary
from rayred.selection import SELECTORS
from rayred.spaces import Space
from rayred.study import emptied_classes

logger = logging.getLogger(__name__)

Allocate = Literal["class", "common"]
"""Whether each class keeps its fraction, or all images together."""
SHARES = (0.95, 0.9, 0.8, 0.7, 0.5)
"""Shares to keep of which `look` says what they would do."""


def prune(
    dataset: str,
    keep: float | None,
    out: Path | str,
    *,
    max_distance: float | None = None,
    edited: Path | str | None = None,
    allocate: Allocate = "class",
    floor: int = 1,
    representative: Representative = "centre",
    by: str = "semantic",
    embeddings: Path | None = None,
    model: str | None = None,
    weights: Path | str | None = None,
    reference: Path | None = None,
    pixels: bool = False,
    against: Path | str | None = None,
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
        `None` if there is a `max_distance` or an `edited` file.
    out
        Folder for the result.
    max_distance
        Largest cosine distance of two images of a group, 0 to 2, in place of `keep`: one height for
        all classes.
    edited
        File of the images that a person chose to keep, in place of `keep`: a ``kept.txt``, a
        ``discarded.csv`` of those that are not kept, or rows, see `rayred.pruning.edited`.
    allocate
        ``class``: each class keeps its fraction. ``common``: the fraction of all images is kept by
        one distance for all classes, so that classes with more redundant images give more.
    floor
        Fewest images of a class to keep, if it has so many.
    representative
        Which image of a group is kept: the one closest to its centre, the one of most pixels, of
        image files the one that was changed first, or the one of the highest or lowest number in
        the column ``data.score_column``. Of equals, that of the lowest row.
    by
        Name of the selector: ``semantic``, or another one of `rayred.selection.SELECTORS`, of which
        each keeps its fraction `keep` and nothing else is asked.
    embeddings
        File with one embedding an image, in data set order; by default those of a reference
        model that is trained now.
    model, weights
        Name of a model that is trained already, of torchvision or ``timm:NAME``, and its weights: a
        file, or the text ``default`` for those that the library recommends.
    reference
        Folder of an earlier study or smaller data set, whose reference model makes the embeddings.
    pixels
        Whether to compare thumbnails, see `rayred.data.thumbnails`, in place of embeddings.
    against
        Data set that one has already, or with `embeddings` a file of its embeddings: images that
        are within `max_distance` of one of its images are not kept, whatever their classes are.
    unlabelled
        Whether all images are one class, of a ``folder:PATH`` those at any depth. There have to be
        embeddings, a model or pixels then, as a reference model is trained on labels.
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
    cut = _cut(keep, max_distance, edited, common=allocate == "common", floor=floor)
    space = Space(embeddings, pixels, unlabelled, model, weights, reference)
    _check_by(by, cut, representative)
    if edited is not None and (by != "semantic" or cut != Cut(1.0) or representative != "centre"):
        raise ConfigError(
            "prune: --edited says itself what is kept: leave out --by, --allocate, --floor and"
            " --representative"
        )
    if against is not None and max_distance is None:
        raise ConfigError("prune: --against goes by a distance: give --max-distance")
    settings = Settings(
        dataset=dataset,
        out=Path(out),
        space=space,
        representative=representative,
        link=link,
        overrides=overrides,
        address=address,
        fresh=fresh,
        update=update,
        by=by,
        against=None if against is None else str(against),
        edited=None if edited is None else Path(edited),
    )
    with opened(settings) as found:
        if against is not None and max_distance is not None:
            found = found.without_known(max_distance)
        job = found.job
        column = job.experiment.data.score_column if representative in BY_COLUMN else None
        by_person = None if found.edited is None else keys.array(found.edited)
        choice = Choice(cut, representative, column, by, found.space, found.against(), by_person)
        if not (dry_run or fresh or update):
            _check_choice(job, choice)
        for note in _rounded_away(found.images, cut):
            logger.warning("%s", note)
        is_cut = by == "semantic" and edited is None
        trees = class_trees(found, cut, keep=not dry_run) if is_cut else None
        clustered = None
        if trees is None:
            choose = choose_by if edited is None else choose_edited
            chosen, summary = choose(found, choice)
        else:
            clustered = Clustered.of(found, trees.value, cut)
            [(chosen, summary)] = clustered.choose(
                [choice], map=found.map, workers=found.map.workers
            )
        known = found.known
        if known is not None:
            summary = summary.with_known(known)
        if not dry_run:
            key = keys.pruned(
                images=found.images.named_digest,
                embeddings=found.x.digest,
                trees="" if trees is None else trees.digest,
                kept=keys.array(chosen.kept),
                choice=choice.values(),
            )
            if trees is not None:
                score_images(job.store, found.images, trees)
            job.store.keep(PRUNED, key, lambda: chosen)
            if known is None:
                job.store.take({}, instead_of=KNOWN.name)
            else:
                job.store.keep(KNOWN, key, lambda: known)
            page = Page(job.experiment.dataset, chosen, summary, clustered, known)
            job.store.keep(PAGE, keys.pruned_page(pruned=key, dataset=page.name), lambda: page)
            keep_data(job.store, chosen.split, chosen.kept, key, link)
            job.store.finish()
        return Pruned(None if dry_run else job.store.path, chosen, summary, clustered, known)


def look(
    dataset: str,
    out: Path | str,
    *,
    floor: int = 1,
    embeddings: Path | None = None,
    model: str | None = None,
    weights: Path | str | None = None,
    reference: Path | None = None,
    pixels: bool = False,
    against: Path | str | None = None,
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
    space = Space(embeddings, pixels, unlabelled, model, weights, reference)
    settings = Settings(
        dataset=dataset,
        out=Path(out),
        space=space,
        overrides=overrides,
        address=address,
        fresh=fresh,
        update=update,
        against=None if against is None else str(against),
    )
    with opened(settings) as found:
        if found.nearest is not None:
            # Within the last ones, all images may be known.
            return [
                _at_distance(found, distance, floor)
                for distance in distances_to_try(found.nearest)
                if distance < found.nearest.distance.max()
            ]
        summaries = []
        for common in (False, True):
            cuts = [Cut(share, common=common, floor=floor) for share in SHARES]
            trees = class_trees(found, cuts[-1], keep=False).value
            clustered = Clustered.of(found, trees, cuts[-1])
            choices = [Choice(cut) for cut in cuts]
            chosen = clustered.choose(choices, map=found.map, workers=found.map.workers)
            summaries += [summary for _, summary in chosen]
        return summaries


def distances_to_try(nearest: Nearest) -> list[float]:
    """Return distances within which shares of images have one that is near, ascending.

    These are what `SHARES` leave, rounded up to three digits.
    """
    ordered, n = np.sort(nearest.distance), len(nearest.distance)
    wanted = [ordered[max(1, n - kept_images(n, share)) - 1] for share in SHARES]
    upwards = Context(prec=3, rounding=ROUND_CEILING)
    return sorted({min(2.0, float(upwards.create_decimal(repr(float(one))))) for one in wanted})


def _at_distance(opened: Opened, distance: float, floor: int) -> Summary:
    """Return what a distance does of images that are compared with those that one has."""
    rest, cut = opened.without_known(distance), Cut(max_distance=distance, floor=floor)
    clustered = Clustered.of(rest, class_trees(rest, cut, keep=False).value, cut)
    [(_, summary)] = clustered.choose([Choice(cut)], map=rest.map, workers=rest.map.workers)
    assert rest.known is not None
    return summary.with_known(rest.known)


def _cut(
    keep: float | None,
    max_distance: float | None,
    edited: Path | str | None,
    *,
    common: bool,
    floor: int,
) -> Cut:
    """Return where the trees are cut; where a person chose the images, all are kept by the cut."""
    if edited is not None and (keep is not None or max_distance is not None):
        raise ConfigError("prune: --edited goes in place of --keep and --max-distance")
    try:
        return Cut(keep if edited is None else 1.0, max_distance, common=common, floor=floor)
    except ValueError as error:
        raise ConfigError(f"prune: {error}") from error


def _check_known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"prune: {name}: {value!r}: expected {', '.join(known)}")


def _check_by(by: str, cut: Cut, representative: Representative) -> None:
    _check_known("by", by, list(SELECTORS))
    plain = cut.keep is not None and cut == Cut(cut.keep) and representative == "centre"
    if by != "semantic" and not plain:
        raise ConfigError(
            f"prune: by {by} a share is kept: give keep, and no distance, common share, floor or"
            " representative"
        )


def _check_choice(job: Job, choice: Choice) -> None:
    before = job.store.current(PRUNED)
    if before is not None and before.value != choice:
        raise RunFolderError(
            f"{job.store.path} holds another smaller data set ({before.value.sentence()});"
            " --update makes it this one, --fresh starts over, or choose another --out"
        )


def _rounded_away(images: Split, cut: Cut) -> list[str]:
    if cut.keep is None or cut.common:
        return []
    return emptied_classes(images, Sweep(fractions=[cut.keep]))

"""The check of a data set for images that it holds twice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from rayred import keys
from rayred.checking.detectors import Found, Limits, best_partners, find
from rayred.checking.partners import Relation
from rayred.checking.pictures import Pictures
from rayred.checking.tables import CHECKED, Tables, tables_of
from rayred.config import Experiment
from rayred.config.file import override_experiment
from rayred.data import Split, load_splits_there
from rayred.data.appearance import HASH_BITS
from rayred.data.listing import one_line
from rayred.errors import ConfigError, DataError, RunFolderError
from rayred.files import Link, check_link, write_array
from rayred.places import check_places
from rayred.pruning.kept import keep_data
from rayred.report.browser.widget import widget
from rayred.report.checked import CheckReport, pairs_of, write_check_page
from rayred.spaces import given_embeddings
from rayred.store import Stage, Store, check_folder, open_store

if TYPE_CHECKING:
    import pandas

logger = logging.getLogger(__name__)

SplitName = Literal["train", "test"]


@dataclass(frozen=True)
class Checked:
    """What a data set holds twice."""

    pictures: Pictures
    """The images of all splits."""
    found: Found
    """What every detector has found."""
    limits: Limits
    """Up to where two images count as the same."""
    given: bool
    """Whether embeddings were given, and no thumbnails compared."""

    @cached_property
    def tables(self) -> Tables:
        """All that was found, as tables."""
        return tables_of(self.pictures, self.found, self.limits)

    @property
    def copies(self) -> pandas.DataFrame:
        """Images of which another one of the same split and class is a copy."""
        return self.tables.pairs[Relation.SAME_CLASS]

    @property
    def conflicts(self) -> pandas.DataFrame:
        """Images of which a copy has another class in the same split: one label is wrong."""
        return self.tables.pairs[Relation.OTHER_CLASS]

    @property
    def leaks(self) -> pandas.DataFrame:
        """Test images of which a copy is in the training split."""
        return self.tables.pairs[Relation.OTHER_SPLIT]

    @property
    def groups(self) -> pandas.DataFrame:
        """All images that are connected to others, by group."""
        return self.tables.groups

    def without_leaks(self, split: SplitName = "train") -> NDArray[np.int64]:
        """Return the rows of a split whose images have no copy in the other one, (n,) int64."""
        return self.pictures.splits[split].rows[self._without_leaks(split)]

    def show(self) -> Any:
        """Return the pairs side by side, which a notebook shows; None if there are none.

        Raises
        ------
        ConfigError
            anywidget is not installed: ``pip install 'rayred[notebook]'``.
        """
        content = pairs_of(self.tables.pairs, self.pictures.splits)
        return None if content is None else widget(content)

    def _without_leaks(self, split: SplitName) -> NDArray[np.int64]:
        """Return which images of a split have no copy in the other one."""
        number = list(self.pictures.splits).index(split)
        leaking, _ = best_partners(self.found, Relation.OTHER_SPLIT)
        places = leaking[self.pictures.split[leaking] == number] - self.pictures.first(number)
        return np.setdiff1d(np.arange(len(self.pictures.splits[split])), places)


def check(
    dataset: str,
    out: Path | str | None = None,
    *,
    max_distance: float = Limits.max_distance,
    hash_bits: int = Limits.hash_bits,
    embeddings: Path | None = None,
    test_embeddings: Path | None = None,
    unlabelled: bool = False,
    without_leaks: SplitName | None = None,
    link: Link = "copy",
    overrides: Sequence[str] = (),
) -> Checked:
    """Find the images that a data set holds twice: in a class, in two classes, in two splits.

    Parameters
    ----------
    dataset
        Name of the data set; one without a test split will do.
    out
        Folder for the tables; by default nothing is written.
    max_distance
        Largest cosine distance, 0 to 2, of the embeddings, or by default of the thumbnails, of two
        images that count as the same.
    hash_bits
        Largest number of bits, 0 to 32, in which the perceptual hashes of such images differ.
    embeddings, test_embeddings
        Files with one embedding an image, in data set order, of the training and the test split.
    unlabelled
        Whether labels are not looked for, as all images are one class.
    without_leaks
        Split of which the images that have no copy in the other one are written to `out`.
    link
        How image files are put there, as in `rayred.prune`.
    overrides
        ``data.NAME=value`` settings.

    Raises
    ------
    RayredError
        Something cannot be used as given; the message says what to do.
    """
    limits = _limits(max_distance, hash_bits)
    experiment = _experiment(dataset, unlabelled, overrides).with_absolute_paths()
    folder = None if out is None else Path(out)
    if folder is None and without_leaks is not None:
        raise ConfigError("check: --without-leaks writes a split; give --out DIR")
    if folder is not None:
        files = [one for one in (embeddings, test_embeddings) if one is not None]
        check_places(experiment, folder, *files)
        check_folder(folder)
    splits = load_splits_there(experiment.dataset, experiment.data)
    if without_leaks is not None and len(splits) == 1:
        raise DataError(f"{dataset}: has no test split, so that nothing can leak")
    if folder is not None:
        check_link(link, splits["train"].folder, folder)
    for notice in dict.fromkeys(notice for split in splits.values() for notice in split.notices):
        logger.warning("%s", notice)
    for name, split in splits.items():
        if split.left_out:
            logger.warning("%s split: %d files or rows are left out", name, len(split.left_out))
    given = _given(splits, {"train": embeddings, "test": test_embeddings})
    pictures = Pictures.of(splits, given)
    checked = Checked(pictures, find(pictures, limits), limits, bool(given))
    if folder is not None:
        _keep(checked, experiment.dataset, folder, without_leaks, link)
    return checked


def _limits(max_distance: float, hash_bits: int) -> Limits:
    if not 0 <= max_distance <= 2:
        raise ConfigError(
            f"check: max_distance is {max_distance!r}; expected a cosine distance, 0 to 2"
        )
    if type(hash_bits) is not int or not 0 <= hash_bits <= HASH_BITS // 2:
        raise ConfigError(
            f"check: hash_bits is {hash_bits!r}; expected a whole number, 0 to {HASH_BITS // 2}"
        )
    return Limits(max_distance, hash_bits)


def _experiment(dataset: str, unlabelled: bool, overrides: Sequence[str]) -> Experiment:
    for override in overrides:
        if not override.startswith("data."):
            raise ConfigError(f"check: --set {override}: only settings of data are used here")
    data: dict[str, Any] = {"image_size": "auto", "undecodable": "skip", "unlabelled": unlabelled}
    if dataset.startswith("parquet:"):  # which needs a test split, unless it is not looked for
        data["test"] = dataset
    experiment = override_experiment({"dataset": dataset, "data": data}, "check", overrides)
    if experiment.data.test == dataset:
        none = experiment.data.model_copy(update={"test": None})
        experiment = experiment.model_copy(update={"data": none})
    return experiment


def _given(splits: dict[str, Split], files: dict[str, Path | None]) -> dict[str, NDArray[Any]]:
    """Return the embeddings of each split, in one space; none where no files are given."""
    named = {name: path for name, path in files.items() if path is not None}
    if not named:
        return {}
    missing = [name for name in splits if name not in named]
    if missing or len(named) > len(splits):
        raise ConfigError(
            f"check: there are embeddings of {' and '.join(named)}, and images of"
            f" {' and '.join(splits)}: give --embeddings of the training and --test-embeddings of"
            " the test images"
        )
    found = {name: given_embeddings(named[name], split).value for name, split in splits.items()}
    widths = {x.shape[1] for x in found.values()}
    if len(widths) > 1:
        raise DataError(
            f"{files['test']}: has {found['test'].shape[1]} columns, {files['train']} has"
            f" {found['train'].shape[1]}"
        )
    return found


def _keep(
    checked: Checked, name: str, folder: Path, without_leaks: SplitName | None, link: Link
) -> None:
    """Write the tables and the page, and a split without leaks if one is wanted."""
    pictures = checked.pictures
    key = keys.check(
        splits={name: one.named_digest for name, one in pictures.splits.items()},
        x=keys.array(pictures.x) if checked.given else "",
        limits=asdict(checked.limits),
    )
    with open_store(folder, make=True) as store:
        _check_is_of_a_check(store)
        store.begin(keys.digest("checked", 1, {"check": key, "without_leaks": without_leaks}))
        store.keep(CHECKED, key, lambda: checked.tables)
        page = keys.digest("check-page", 1, {"check": key, "name": name})
        store.keep(PAGE, page, lambda: _page(checked, name))
        if without_leaks is not None:
            kept, split = checked._without_leaks(without_leaks), pictures.splits[without_leaks]
            clean = keys.digest("clean", 1, {"check": key, "split": without_leaks})
            store.keep(CLEAN, clean, lambda: (split, kept))
            keep_data(store, split, kept, clean, link)
        store.finish()


def _page(checked: Checked, name: str) -> CheckReport:
    tables, limits = checked.tables, checked.limits
    compared = "embeddings" if checked.given else "thumbnails"
    return CheckReport(
        name,
        checked.pictures.splits,
        tables.pairs,
        tables.counts,
        f"Images count as close up to a cosine distance of {limits.max_distance:g} of their"
        f" {compared}, and hashes as nearly the same up to {limits.hash_bits} of {HASH_BITS} bits,"
        " also turned and mirrored.",
    )


def _check_is_of_a_check(store: Store) -> None:
    if store.parts and CHECKED.name not in store.parts:
        raise RunFolderError(f"{store.path}: holds something else; choose another --out")


def _save_clean(folder: Path, clean: tuple[Split, NDArray[np.int64]]) -> None:
    split, kept = clean
    write_array(folder / "kept.npy", split.rows[kept])
    with (folder / "kept.txt").open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(f"{one_line(split.names[image])}\n" for image in kept)


PAGE = Stage[CheckReport, None]("page", write_check_page, lambda _: None)
"""The page, as ``report.html``."""
CLEAN = Stage[tuple[Split, NDArray[np.int64]], None]("clean", _save_clean, lambda _: None)
"""The rows of a split that are not in the other one."""

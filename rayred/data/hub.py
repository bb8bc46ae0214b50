"""Data sets of Hugging Face `datasets`: saved folders, Arrow files, and those of the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import fs

from rayred.config import Data
from rayred.data.cache import quiet_datasets
from rayred.data.images import StoredImages, digest_of, images_of
from rayred.data.labels import one_class, read_labels
from rayred.data.listing import Listing
from rayred.data.parquet import list_files
from rayred.data.tables import find_columns, read_scores
from rayred.errors import DataError, NoSplitError

if TYPE_CHECKING:
    import datasets

TEST_SPLITS = ("test", "validation", "valid", "val", "dev")
"""Names of splits that may be the test split; the first one that has labels is."""


@dataclass(frozen=True)
class HubRows:
    """The images of one split of a data set, as a `Source`."""

    place: str
    """Name on the hub, or a folder or Arrow file that every node can open."""
    split: str
    column: str
    version: str
    """Another text when the rows or their files are others."""

    def stamp(self) -> str:
        """Return a digest of the place, split, column and version."""
        return digest_of(self.place, self.split, self.column, self.version)

    def open(self) -> datasets.Dataset:
        """Return the images; from the hub, they are downloaded once a node."""
        return images_of(_opened(self.place)[self.split], self.column)

    def part(self, rows: NDArray[np.int64]) -> tuple[HubRows, NDArray[np.int64]]:
        """Return all of it and the same rows, (n,) int64: opening maps files, and reads none."""
        return self, rows

    def write(self, rows: NDArray[np.int64], folder: Path) -> None:
        """Write some rows, (n,) int64 ascending, with all columns as `save_to_disk` does.

        Where the source is a folder of several splits, it is one of this split.
        """
        from datasets import DatasetDict

        chosen = _opened(self.place)[self.split].select(rows)
        several = (Path(self.place) / "dataset_dict.json").exists()
        with quiet_datasets():
            (DatasetDict({self.split: chosen}) if several else chosen).save_to_disk(folder)


def list_hub(
    place: str, split: Literal["train", "test"], data: Data, *, alone: bool = False
) -> Listing:
    """List the rows of a split of a data set.

    Parameters
    ----------
    place
        A folder written by ``save_to_disk``, an Arrow file, a folder of files that `datasets` can
        load, or a name on the hub.
    split
        The split to list; as test split a validation split will do, where test has no labels.
    data
        Columns, and the name of the test split.
    alone
        Whether nothing but this split is taken from here, so that any will do if there is one.

    Raises
    ------
    DataError
        The data set cannot be loaded, or has no such split or columns.
    """
    where = f"hf:{place}"
    if Path(place).exists():
        place = str(Path(place).absolute())
    parquet, features = _parquet_files(place)
    there: Mapping[str, Any] = parquet if parquet is not None else _opened(place)
    wanted = (data.test,) if data.test and not alone else TEST_SPLITS
    names = [name for name in (("train",) if split == "train" else wanted) if name in there]
    if not names and (alone or split == "train") and len(there) == 1:
        names = list(there)
    if not names:
        raise (NoSplitError if split == "test" and not data.test else DataError)(
            f"{where}: has no {wanted[0] if split == 'test' else split} split; it has"
            f" {', '.join(map(str, there))}" + (" (data.test)" if split == "test" else "")
        )
    for name in names:
        if parquet is not None:
            uri, files = parquet[name]
            listing = list_files(uri, files, data, features)
        else:
            listing = _listing(where, place, name, there[name], data)
        if split == "train" or len(names) == 1 or (listing.labels >= 0).any():
            break
    if split == "train" or name == "test":
        return listing
    return replace(listing, notices=(*listing.notices, f"the test split is {name!r}"))


def _listing(where: str, place: str, split: str, opened: datasets.Dataset, data: Data) -> Listing:
    columns = find_columns(opened.features.arrow_schema, where, data)
    if columns.label is None:
        labels, classes = one_class(len(opened))
    else:
        labels, classes = read_labels(
            _column(opened, columns.label), columns.names, f"{where}: column {columns.label!r}"
        )
    names = [f"{split} {row}" for row in range(len(labels))]
    source = HubRows(place, split, columns.image, _version(opened))
    images = StoredImages(source, np.arange(len(labels)))
    scores = None if columns.score is None else read_scores(_column(opened, columns.score))
    return Listing(images, labels, classes, names, notices=columns.notices, scores=scores)


def _version(opened: datasets.Dataset) -> str:
    """Return what tells versions of a data set apart: its fingerprint, sizes and times of files."""
    files = [Path(one["filename"]).stat() for one in opened.cache_files]
    sizes = [(status.st_size, status.st_mtime_ns) for status in files]
    return f"{opened._fingerprint} {sizes}"


def _column(opened: datasets.Dataset, name: str) -> pa.ChunkedArray:
    """Return a column in the order of the data set's rows."""
    table = opened.select_columns([name]).with_format("arrow")[:]
    return table.column(name)


def _parquet_files(
    place: str,
) -> tuple[dict[str, tuple[str, list[fs.FileInfo]]] | None, Mapping[str, Any]]:
    """Return URI and files of each split of a data set made of Parquet files, and its features.

    They are read file by file, since class names may stand in another order in each. None for
    data sets of other files.
    """
    if Path(place).is_file() or _is_saved(Path(place)):
        return None, {}
    from datasets.packaged_modules.parquet.parquet import Parquet

    builder = _builder(place)
    if not isinstance(builder, Parquet):
        return None, {}
    found: dict[str, tuple[str, list[fs.FileInfo]]] = {}
    for split, urls in builder.config.data_files.items():
        uri = urls[0].rpartition("/")[0] if "://" in urls[0] else "file:///"
        system, _ = fs.FileSystem.from_uri(uri)
        paths = [fs.FileSystem.from_uri(url)[1] if "://" in url else url for url in urls]
        found[str(split)] = (uri, system.get_file_info(paths))
    return found, builder.info.features.to_dict() if builder.info.features else {}


def _builder(place: str) -> Any:
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetsError

    try:
        with quiet_datasets():
            return load_dataset_builder(place)
    except (OSError, ValueError, DatasetsError) as error:
        raise DataError(f"hf:{place}: cannot be loaded: {error}") from error


def _is_saved(folder: Path) -> bool:
    return (folder / "state.json").exists() or (folder / "dataset_dict.json").exists()


def _opened(place: str) -> Mapping[str, datasets.Dataset]:
    """Return the splits of a data set."""
    from datasets import Dataset, DatasetDict, load_dataset, load_from_disk
    from datasets.exceptions import DatasetsError

    path = Path(place)
    try:
        with quiet_datasets():
            if path.is_file():
                return {"train": Dataset.from_file(str(path))}
            loaded = load_from_disk(place) if _is_saved(path) else load_dataset(place)
    except (OSError, ValueError, pa.ArrowException, DatasetsError) as error:
        raise DataError(f"hf:{place}: cannot be loaded: {error}") from error
    return loaded if isinstance(loaded, DatasetDict) else {"train": loaded}

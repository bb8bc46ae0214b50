"""A data set made smaller, as a value to explore."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred.pruning.tables import Summary

if TYPE_CHECKING:
    import datasets
    import pandas
    from torch.utils.data import Dataset as TorchDataset
    from torch.utils.data import Subset


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

"""A data set made smaller, as a value to explore."""

from __future__ import annotations

import html
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.cuts import Cut
from rayred.pruning.browsing import content_of
from rayred.pruning.choosing import Clustered
from rayred.pruning.known import Known
from rayred.pruning.pictures import Picture, farthest_pairs
from rayred.pruning.tables import Chosen, Summary, columns_of
from rayred.report.browser.widget import widget

if TYPE_CHECKING:
    import datasets
    import pandas
    from torch.utils.data import Dataset as TorchDataset
    from torch.utils.data import Subset

PAIRS_SHOWN = 6
"""Discarded images that a notebook shows, beside what is kept in their place."""
PICTURE_HEIGHT = 64
"""Height of each, in pixels of the page."""


@dataclass(frozen=True)
class Pruned:
    """A data set made smaller."""

    folder: Path | None
    """Folder with `kept.npy`, the tables, and `images/` or `data/`, see docs/own-data.md; None if
    nothing was written."""
    chosen: Chosen = field(repr=False)
    """The images that are kept, and what stands for the others."""
    summary: Summary
    """What the cut does, in a few numbers."""
    clustered: Clustered | None = field(repr=False)
    """The trees that were cut; None for selectors that have none."""
    of_owned: Known | None = field(default=None, repr=False)
    """Images that the data set that one has holds; None if there is no such data set."""

    @property
    def kept(self) -> NDArray[np.int64]:
        """(n,) int64, ascending: the rows of the data set that are kept."""
        return self.chosen.split.rows[self.chosen.kept]

    @property
    def n_images(self) -> int:
        """Images of the whole data set."""
        return len(self.chosen.split) + self.summary.known

    @property
    def n_rows(self) -> int:
        """Rows of the whole data set, some of which may be no images that can be used."""
        return self.chosen.split.n_rows()

    @property
    def duplicate_ratio(self) -> float:
        """Share of the images that is not kept, 0 to 1."""
        return 1 - self.summary.kept / self.n_images

    @property
    def known(self) -> pandas.DataFrame:
        """Images that the data set that one has holds: name, class, row, match and distance."""
        import pandas

        if self.of_owned is None:
            raise ValueError("the images were compared with no other data set; give against")
        return pandas.DataFrame(self.of_owned.columns())

    @property
    def groups(self) -> pandas.DataFrame:
        """All other images: name, class, row, representative (a row), distance, group, kept."""
        import pandas

        return pandas.DataFrame(columns_of(self.chosen))

    def at(self, *, keep: float | None = None, distance: float | None = None) -> Pruned:
        """Return what another cut keeps, with no new clustering; nothing is written.

        Parameters
        ----------
        keep
            Share of every class to keep, not below that of this cut.
        distance
            Largest cosine distance of two images of a group, in place of `keep`, not above that of
            this cut.

        Raises
        ------
        ValueError
            The trees do not reach so far, or there are none, or the images were compared with those
            of another data set.
        """
        if self.of_owned is not None:
            raise ValueError("what another data set has depends on the cut too: prune again")
        before = self.chosen.choice
        choice = replace(before, cut=Cut(keep, distance))
        clustered = self._reaching(distance)
        [(chosen, summary)] = clustered.choose([choice])
        return Pruned(None, chosen, summary, clustered)

    def labels(self, height: float) -> NDArray[np.int64]:
        """Return the group of each image at a cosine distance, (N,) int64, with no new clustering.

        Raises
        ------
        ValueError
            The trees do not reach so far, or there are none.
        """
        trees = self._reaching(height).trees
        return trees.groups_at([tree.up_to(height).n_clusters for tree in trees.trees])

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

    def _reaching(self, distance: float | None) -> Clustered:
        if self.clustered is None:
            raise ValueError(f"images chosen by {self.chosen.choice.by} have no trees to cut")
        reach = self.clustered.reach
        if distance is not None and distance > reach:
            raise ValueError(
                f"the trees reach up to a distance of {reach:.4g}, not {distance:.4g}: prune again"
            )
        return self.clustered

    def show(self) -> Any:
        """Return the group browser, which a notebook shows.

        Raises
        ------
        ConfigError
            anywidget is not installed: ``pip install 'rayred[notebook]'``.
        """
        return widget(content_of(self.chosen, self.clustered, self.of_owned))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the numbers, and the farthest discarded images."""
        summary, how = self.summary, html.escape(self.chosen.choice.sentence())
        rows = "".join(
            f"<tr><td>{_image(gone)}</td><td>{_image(kept)}</td>"
            f"<td>{html.escape(gone.name)} → {html.escape(kept.name)}<br>"
            f"distance {gone.distance:.4g}</td></tr>"
            for gone, kept in farthest_pairs(self.chosen, PAIRS_SHOWN)
        )
        return (
            f"<p><b>{summary.kept:,}</b> of {self.n_images:,} images are kept"
            f" ({100 * self.duplicate_ratio:.1f} % are not; {how})."
            " Not kept, the farthest from what is kept in their place first:</p>"
            f"<table>{rows}</table>"
        )


def _image(picture: Picture) -> str:
    return f'<img height="{PICTURE_HEIGHT}" src="data:image/png;base64,{picture.data}">'

"""What the group browser shows of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rayred.checking.partners import Relation
from rayred.clustering.cuts import Cut
from rayred.clustering.exploration import Exploration
from rayred.data.dataset import Dataset
from rayred.report.browser.content import Content, Part, folder_urls
from rayred.report.browser.side_by_side import with_pairs

if TYPE_CHECKING:
    import pandas


def content_of(
    dataset: Dataset,
    exploration: Exploration,
    fraction: float,
    linkage: str,
    found: Mapping[Relation, pandas.DataFrame],
    given: NDArray[np.int64] | None = None,
) -> Content:
    """Return what the browser shows.

    Parameters
    ----------
    dataset
        The images.
    exploration
        Of the training images.
    fraction
        Share of every class that is kept at first.
    linkage
        Linkage method.
    found
        Images that the data set holds twice, by relation; empty where it was not checked.
    given
        (n,) int64, the training images of a subset that was chosen before; None for subsets that
        keep one image of every group.
    """
    part = Part("train", dataset.train, exploration.rows)
    album, pairs = with_pairs(found, dataset.splits(), part)
    return Content(
        album,
        exploration,
        Cut(keep=fraction),
        kept=None if given is None else np.isin(np.arange(len(dataset.train)), given),
        pairs=pairs,
        linkage=linkage,
        sources=folder_urls(dataset.train),
    )

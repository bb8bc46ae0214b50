"""What the group browser shows of a smaller data set.

Legend: N images, k of them known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.exploring import MOST_ROWS, explore
from rayred.pruning.choosing import Clustered, preference
from rayred.pruning.images import IMAGES
from rayred.pruning.known import Known
from rayred.pruning.tables import Chosen
from rayred.report.browser.content import PAIRS_SHOWN, Album, Content, Pairs, Part, folder_urls


def content_of(chosen: Chosen, clustered: Clustered | None, known: Known | None) -> Content:
    """Return what the browser shows.

    Parameters
    ----------
    chosen
        The images, and which of them are kept.
    clustered
        The trees that were cut; None where there are none, so that each group is what one kept
        image stands for.
    known
        Images that the data set that one has holds already.
    """
    split, exploration = chosen.split, None
    kept = group = None
    if clustered is not None:
        representative = chosen.choice.representative
        value = None if representative == "centre" else preference(split, representative)
        exploration = explore(clustered.x, clustered.trees, value, clustered.reach)
    if exploration is None:
        kept, group = np.zeros(len(split), np.bool_), chosen.standing.group
        kept[chosen.kept] = True
    rows = _shown(chosen) if exploration is None else exploration.rows
    album = Album((Part("these", split, rows), *_known_parts(known)))
    pairs = [_farthest(chosen, rows)]
    if known is not None and known.owned.images is not None:
        pairs.append(_known_pairs(known, len(rows)))
    return Content(
        album,
        exploration,
        chosen.choice.cut,
        kept,
        group,
        pairs=[one for one in pairs if one.count],
        table=known is None or not len(known.place),
        linkage="complete" if clustered is None else clustered.linkage.method,
        sources=[f"{IMAGES}/", *folder_urls(split)] if split.folder is not None else [],
    )


def _shown(chosen: Chosen) -> NDArray[np.int64]:
    """Return the images that are shown where there are no trees: all, or groups of several."""
    group = chosen.standing.group
    if len(group) <= MOST_ROWS:
        return np.arange(len(group))
    order = np.argsort(group, kind="stable")
    several = order[np.bincount(group)[group[order]] > 1]
    return np.sort(several[:MOST_ROWS])


def _farthest(chosen: Chosen, rows: NDArray[np.int64]) -> Pairs:
    """Return the images not kept that are farthest from what is kept in their place, with that."""
    standing = chosen.standing
    gone = np.setdiff1d(np.arange(len(chosen.split)), chosen.kept)
    order = gone[np.argsort(-standing.distance[gone], kind="stable")]
    shown = np.isin(order, rows) & np.isin(standing.representative[order], rows)
    order = order[shown][:PAIRS_SHOWN]
    images = np.stack([order, standing.representative[order]], axis=1)
    return Pairs(
        "Farthest from what is kept",
        "On the left images that are not kept, on the right what is kept in their place; the"
        " farthest come first, so all others are closer.",
        np.searchsorted(rows, images),
        [f"distance {standing.distance[image]:.4g}" for image in order],
        len(gone),
    )


def _farthest_known(known: Known) -> NDArray[np.int64]:
    return np.argsort(-known.distance, kind="stable")[:PAIRS_SHOWN]


def _known_parts(known: Known | None) -> list[Part]:
    if known is None or known.owned.images is None or not len(known.place):
        return []
    shown = _farthest_known(known)
    return [
        Part("these", known.images, np.unique(known.place[shown])),
        Part(known.owned.name, known.owned.images, np.unique(known.match[shown])),
    ]


def _known_pairs(known: Known, first: int) -> Pairs:
    """Return the known images that are farthest from what one has, with that.

    `first` is the place of the first known image in the album.
    """
    shown = _farthest_known(known)
    ours, theirs = np.unique(known.place[shown]), np.unique(known.match[shown])
    left = first + np.searchsorted(ours, known.place[shown])
    right = first + len(ours) + np.searchsorted(theirs, known.match[shown])
    return Pairs(
        f"In {known.owned.name} already",
        "On the left images that are not kept, on the right those that you have; the farthest come"
        " first, so all others are closer.",
        np.stack([left, right], axis=1),
        [f"distance {known.distance[one]:.4g}" for one in shown],
        len(known.place),
    )

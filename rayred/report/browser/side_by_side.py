"""Tables of pairs of images, as pictures side by side.

Legend: P images of an album, n pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rayred.checking.partners import Relation
from rayred.data.dataset import Split
from rayred.report.browser.content import PAIRS_SHOWN, Album, Pairs, Part

if TYPE_CHECKING:
    import pandas


TITLES = {
    Relation.SAME_CLASS: "Copies within a class",
    Relation.OTHER_CLASS: "In two classes",
    Relation.OTHER_SPLIT: "Test images in training",
}
"""What the pairs of each relation are called."""
NOTES = {
    Relation.SAME_CLASS: "Images of one class that look the same: one of them is redundant.",
    Relation.OTHER_CLASS: "Images that look the same and have different classes: one label is"
    " wrong, if they are one picture.",
    Relation.OTHER_SPLIT: "On the left test images that look like a training image, on the right:"
    " where they are one picture, accuracies are too high.",
}
"""What the pairs of each relation mean."""


def with_pairs(
    found: Mapping[Relation, pandas.DataFrame],
    splits: Mapping[str, Split],
    first: Part | None = None,
) -> tuple[Album, list[Pairs]]:
    """Return an album that has the images of tables of pairs, and these pairs.

    Parameters
    ----------
    found
        Tables of a check, the closest pairs first, of which these are shown.
    splits
        The splits that the tables name.
    first
        First part of the album, of one of the splits; further images of it are a part of their own.
    """
    tables = {
        relation: found[relation].head(PAIRS_SHOWN)
        for relation in sorted(found, reverse=True)
        if len(found[relation])
    }
    parts = [] if first is None else [first]
    for name, split in splits.items():
        rows = [
            table[f"{side}row"][table[f"{side}split"] == name].to_numpy(np.int64)
            for table in tables.values()
            for side in ("", "other_")
        ]
        places = split.places(np.unique(np.concatenate(rows))) if rows else np.empty(0, np.int64)
        if first is not None and first.split is split:
            places = np.setdiff1d(places, first.places)
        if len(places):
            parts.append(Part(name, split, places))
    album = Album(tuple(parts))
    position = {
        (part.name, int(row)): place
        for place, (part, row) in enumerate(
            (part, row) for part in parts for row in part.split.rows[part.places]
        )
    }
    pairs = [
        _pairs(relation, table, position, len(found[relation]))
        for relation, table in tables.items()
    ]
    return album, pairs


def _pairs(
    relation: Relation,
    table: pandas.DataFrame,
    position: Mapping[tuple[str, int], int],
    count: int,
) -> Pairs:
    sides = [
        [position[name, int(row)] for name, row in zip(table[split], table[row], strict=True)]
        for split, row in (("split", "row"), ("other_split", "other_row"))
    ]
    images: NDArray[np.int64] = np.array(sides, np.int64).T
    said = [
        f"distance {distance:.4g}, by {by}" + (f"; the other is {turned}" if turned else "")
        for distance, by, turned in zip(
            table["distance"], table["found_by"], table["other_is"], strict=True
        )
    ]
    return Pairs(TITLES[relation], NOTES[relation], images, said, count)

"""Files of pairs of images, and how they are read again. Needs pandas only."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rayred.checking.partners import Relation

FILES = {
    Relation.SAME_CLASS: "copies.csv",
    Relation.OTHER_CLASS: "conflicts.csv",
    Relation.OTHER_SPLIT: "leaks.csv",
}
"""Files of the pairs of each relation."""


def read_pairs(folder: Path) -> dict[Relation, pd.DataFrame]:
    """Return the pairs that a check has left in a folder."""
    return {
        relation: pd.read_csv(folder / name, keep_default_na=False)
        for relation, name in FILES.items()
    }

"""The files that say what a smaller data set keeps, and why the rest is not kept.

Legend: N images, n of them kept.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rayred.clustering.cuts import Cut
from rayred.clustering.standing import Standing
from rayred.data import Split
from rayred.data.listing import one_line
from rayred.files import write_array
from rayred.pruning.known import Known
from rayred.store import Stage

Representative = Literal["centre", "largest", "oldest", "highest", "lowest"]
"""Which image of a group is kept: the closest to its centre, the one of most pixels, the file that
was changed first, or the one of the highest or lowest number in the column `data.score_column`; of
equals, that of the lowest row."""

BY_COLUMN = ("highest", "lowest")
"""Those that go by a column."""

REFERENCE_SPACE = "a reference model"
"""By what images are compared, if nothing else is asked for; its settings are the config's."""


@dataclass(frozen=True)
class Choice:
    """How the images of a smaller data set are chosen."""

    cut: Cut
    """Where the trees are cut."""
    representative: Representative = "centre"
    column: str | None = None
    """Whose numbers decide, where the highest or lowest is kept."""
    by: str = "semantic"
    """Name of the selector, see `rayred.selection`; others than semantic have no groups to cut."""
    space: str = REFERENCE_SPACE
    """By what images are compared."""
    against: str | None = None
    """The data set that one has, if images that it has already are not kept."""
    edited: str | None = None
    """Digest of the rows that a person chose, if one did; nothing is cut then."""

    def values(self) -> dict[str, Any]:
        """Return what decides the choice."""
        return {
            **self.cut.values(),
            "representative": self.representative,
            "column": self.column,
            "by": self.by,
            "space": self.space,
            "against": self.against,
            "edited": self.edited,
        }

    @classmethod
    def of(cls, values: dict[str, Any]) -> Choice:
        """Return the choice of `values`."""
        representative, column = values.pop("representative"), values.pop("column", None)
        by, space = values.pop("by", "semantic"), values.pop("space", REFERENCE_SPACE)
        against, edited = values.pop("against", None), values.pop("edited", None)
        return cls(Cut(**values), representative, column, by, space, against, edited)

    def sentence(self) -> str:
        """Return the choice in words."""
        if self.edited is not None:
            return f"the images that a person chose are kept; compared by {self.space}"
        if self.by != "semantic":
            return f"{self.cut.sentence()}, chosen by {self.by}; compared by {self.space}"
        kept = (
            "one closest to the centre" if self.representative == "centre" else self.representative
        )
        by = "" if self.column is None else f" in column {self.column!r}"
        text = f"{self.cut.sentence()}; of each group the {kept}{by}; compared by {self.space}"
        if self.against is not None:
            text += f"; none is kept that is as close to an image of {self.against}"
        return text


@dataclass(frozen=True)
class Chosen:
    """Which images of a data set are kept, and what stands for the others."""

    split: Split
    """The N images."""
    kept: NDArray[np.int64]
    """(n,) int64, which of the N images are kept, ascending."""
    standing: Standing
    """What stands for each of the N images."""
    choice: Choice
    """How they were chosen."""


def columns_of(chosen: Chosen) -> dict[str, Any]:
    """Return the columns of ``groups.parquet``: of all N images, in order."""
    split, standing = chosen.split, chosen.standing
    return {
        "name": list(split.names),
        "class": [split.classes[label] for label in split.labels],
        "row": split.rows,
        "representative": split.rows[standing.representative],
        "distance": standing.distance,
        "group": standing.group,
        "kept": np.isin(np.arange(len(split)), chosen.kept),
    }


def _save(folder: Path, chosen: Chosen) -> None:
    split, standing, columns = chosen.split, chosen.standing, columns_of(chosen)
    write_array(folder / "kept.npy", split.rows[chosen.kept])
    names = [one_line(name) for name in split.names]
    with (folder / "kept.txt").open("w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(f"{names[image]}\n" for image in chosen.kept)
    with (folder / "discarded.csv").open(
        "w", newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(name for name in columns if name != "kept")
        for image in np.flatnonzero(~columns["kept"]):
            writer.writerow(
                [
                    names[image],
                    one_line(columns["class"][image]),
                    split.rows[image],
                    names[standing.representative[image]],
                    f"{standing.distance[image]:.9g}",
                    standing.group[image],
                ]
            )
    pq.write_table(pa.table(columns), folder / "groups.parquet")
    (folder / "choice.json").write_text(json.dumps(chosen.choice.values()) + "\n")


def _load(folder: Path) -> Choice:
    return Choice.of(json.loads((folder / "choice.json").read_text()))


PRUNED = Stage[Chosen, Choice]("pruned", _save, _load)
"""The tables of a smaller data set; its images are put beside them, see `rayred.pruning.images`."""


@dataclass(frozen=True)
class Summary:
    """What a cut does, in a few numbers."""

    cut: Cut
    """Where was cut."""
    distance: float
    """Height of the highest merge made: no two images of a group are farther apart. For average
    and single linkage, the distance of the two groups. Where nothing is clustered, the largest
    distance of an image to the nearest one that is kept."""
    kept: int
    """Images kept."""
    discarded: int
    """Images not kept."""
    largest_group: int
    """Images of the largest group."""
    farthest: tuple[str, str, float] | None
    """Of the image not kept that is farthest from what stands for it, or is known: its name, the
    other's, their distance."""
    known: int = 0
    """Further images not kept, since the data set that one has holds them already."""

    def with_known(self, known: Known) -> Summary:
        """Return the numbers with those of the images that another data set has."""
        farthest = self.farthest
        if len(known.place) and (farthest is None or known.distance.max() > farthest[2]):
            farthest = known.farthest()
        return replace(self, known=len(known.place), farthest=farthest)

    @classmethod
    def of(cls, chosen: Chosen, height: float) -> Summary:
        """Return the numbers of a cut and the height of its highest merge."""
        standing, names = chosen.standing, chosen.split.names
        image = int(standing.distance.argmax())
        farthest = None
        if len(chosen.kept) < len(names):
            other = int(standing.representative[image])
            farthest = names[image], names[other], float(standing.distance[image])
        return cls(
            cut=chosen.choice.cut,
            distance=height,
            kept=len(chosen.kept),
            discarded=len(names) - len(chosen.kept),
            largest_group=int(np.bincount(standing.group).max()),
            farthest=farthest,
        )


def summary_table(summaries: Sequence[Summary]) -> str:
    """Return a table of several cuts, and for each the discarded image farthest from its group's.

    With it one sees by example what a distance means before one chooses.
    """
    head: tuple[str, ...] = ("cut", "distance", "kept", "known", "discarded", "largest group")
    rows: list[tuple[str, ...]] = [head] + [
        (
            _option(one.cut),
            f"{one.distance:.4g}",
            f"{one.kept:,}",
            f"{one.known:,}",
            f"{one.discarded:,}",
            f"{one.largest_group:,}",
        )
        for one in summaries
    ]
    if not any(one.known for one in summaries):
        rows = [(*row[:3], *row[4:]) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
        farthest = summaries[number - 1].farthest if number else None
        if farthest is not None:
            name, other, distance = farthest
            lines.append(f"    {one_line(name)} → {one_line(other)}, at {distance:.4g}")
    return "\n".join(lines)


def _option(cut: Cut) -> str:
    """Return a cut as options of the command line."""
    if cut.max_distance is not None:
        option = f"--max-distance {cut.max_distance:g}"
    else:
        option = f"--keep {cut.keep:g}" + (" --allocate common" if cut.common else "")
    return option + (f" --floor {cut.floor}" if cut.floor > 1 else "")

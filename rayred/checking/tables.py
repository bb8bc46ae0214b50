"""The tables of a check: which images are there twice, with which other, and who says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rayred.checking.detectors import DETECTORS, Found, Limits, best_partners, find, measure
from rayred.checking.pairs import FILES
from rayred.checking.partners import Relation
from rayred.checking.pictures import Pictures
from rayred.checking.summary import FILE, SUMMARY
from rayred.data import Split
from rayred.data.listing import one_line
from rayred.store import Stage


@dataclass(frozen=True)
class Tables:
    """What a check has found."""

    limits: Limits
    counts: dict[str, Any]
    """Images of each split, and how many of them each detector finds a partner for, by relation."""
    pairs: dict[Relation, pd.DataFrame]
    """A row for each image that has a partner, with the partner and what each detector says; of
    two images that are each other's, one row. Of leaks, a row for each test image."""
    groups: pd.DataFrame
    """A row for each image of a group of two or more: group, by, split, row, name, class."""


def check_images(splits: Mapping[str, Split], limits: Limits) -> Tables:
    """Return what splits hold twice, compared by their thumbnails."""
    pictures = Pictures.of(splits, {})
    return tables_of(pictures, find(pictures, limits), limits)


def tables_of(pictures: Pictures, found: Found, limits: Limits) -> Tables:
    """Return the tables of what was found."""
    pairs = {}
    for relation in Relation:
        i, j = best_partners(found, relation)
        if relation == Relation.OTHER_SPLIT:
            chosen = pictures.split[i] == 1
        else:
            partner = np.full(len(found.group), -1)
            partner[i] = j
            chosen = (partner[j] != i) | (i < j)
        pairs[relation] = _pairs(pictures, found, limits, i[chosen], j[chosen])
    return Tables(limits, _counts(pictures, found), pairs, _groups(pictures, found))


def _pairs(
    pictures: Pictures, found: Found, limits: Limits, i: NDArray[np.int64], j: NDArray[np.int64]
) -> pd.DataFrame:
    measured = measure(pictures, found, i, j)
    one, other = _described(pictures, i), _described(pictures, j)
    frame = pd.DataFrame(
        {
            **one,
            **{f"other_{name}": values for name, values in other.items()},
            "found_by": measured.found_by(limits),
            "distance": measured.distance,
            "hash_bits": measured.hash_bits,
            "other_is": measured.orientation,
        }
    )
    order = np.lexsort([i, measured.hash_bits, measured.distance])
    return frame.iloc[order].reset_index(drop=True)


def _described(pictures: Pictures, images: NDArray[np.int64]) -> dict[str, Any]:
    names = list(pictures.splits)
    found: dict[str, list[Any]] = {"split": [], "row": [], "name": [], "class": []}
    for image in images:
        number = pictures.split[image]
        split = pictures.splits[names[number]]
        place = image - pictures.first(number)
        found["split"].append(names[number])
        found["row"].append(int(split.rows[place]))
        found["name"].append(split.names[place])
        found["class"].append(split.classes[split.labels[place]])
    return found


def _counts(pictures: Pictures, found: Found) -> dict[str, Any]:
    partner = {name: one.partner >= 0 for name, one in found.partners.items()}
    partner["any"] = np.any([partner[name] for name in DETECTORS], axis=0)
    counted = {relation: np.ones(len(pictures.split), np.bool_) for relation in Relation}
    counted[Relation.OTHER_SPLIT] = pictures.split == 1
    return {
        "images": {name: len(split) for name, split in pictures.splits.items()},
        **{
            relation.name.lower(): {
                name: int((has[relation] & counted[relation]).sum())
                for name, has in partner.items()
            }
            for relation in Relation
        },
    }


def _groups(pictures: Pictures, found: Found) -> pd.DataFrame:
    sizes = np.bincount(found.group)
    images = np.flatnonzero(sizes[found.group] > 1)
    images = images[np.argsort(found.group[images], kind="stable")]
    _, number = np.unique(found.group[images], return_inverse=True)
    seen = np.stack([(found.partners[name].partner >= 0).any(axis=0) for name in DETECTORS], 1)
    by = np.zeros((len(images), len(DETECTORS)), np.bool_)
    np.logical_or.at(by, number, seen[images])
    detectors = ["+".join(np.array(DETECTORS)[by[one]]) for one in number]
    return pd.DataFrame({"group": number, "found_by": detectors, **_described(pictures, images)})


def _save(folder: Path, tables: Tables) -> None:
    for relation, name in FILES.items():
        _one_line(tables.pairs[relation]).to_csv(folder / name, index=False, lineterminator="\n")
    _one_line(tables.groups).to_csv(folder / "groups.csv", index=False, lineterminator="\n")
    summary = {"limits": asdict(tables.limits), **tables.counts}
    (folder / FILE).write_text(json.dumps(summary, indent=2) + "\n")


def _one_line(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with every line break within a name as a backslash and n or r."""
    texts = [name for name in frame.columns if name.endswith(("name", "class"))]
    return frame.assign(**{name: [one_line(text) for text in frame[name]] for name in texts})


CHECKED = Stage[Tables, dict[str, Any]](SUMMARY.name, _save, SUMMARY.load)
"""The tables of a check; of them, what is in ``check.json`` is read again."""


def summary_text(tables: Tables, examples: int = 3) -> str:
    """Return the counts as a table, with the closest pairs of each relation below its line."""
    titles = {
        Relation.SAME_CLASS: "copies within a class",
        Relation.OTHER_CLASS: "the same image in two classes",
        Relation.OTHER_SPLIT: "test images that are also in training (leaks)",
    }
    if len(tables.counts["images"]) == 1:
        del titles[Relation.OTHER_SPLIT]
    heads = [*DETECTORS, "any"]
    width = max(map(len, titles.values()))
    sizes = ", ".join(f"{count:,} {name}" for name, count in tables.counts["images"].items())
    lines = [f"images: {sizes}", " " * width + "".join(f"{head:>9}" for head in heads)]
    for relation, title in titles.items():
        counts = tables.counts[relation.name.lower()]
        lines.append(f"{title:<{width}}" + "".join(f"{counts[head]:>9,}" for head in heads))
        shown = _one_line(tables.pairs[relation]).head(examples)
        lines += [f"    {_sentence(pair)}" for pair in shown.to_dict("records")]
    return "\n".join(lines)


def _sentence(pair: dict[Any, Any]) -> str:
    one, other = (
        f"{pair[f'{side}split']} {pair[f'{side}name']} ({pair[f'{side}class']})"
        for side in ("", "other_")
    )
    turned = f", {pair['other_is']}" if pair["other_is"] else ""
    return f"{one} = {other}{turned}, at {pair['distance']:.4g}, by {pair['found_by']}"

"""Four ways to find images that are there twice, and what all of them say of a pair.

Legend: N images, E pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from rayred.checking.hashes import closest_orientation, near_hashes
from rayred.checking.partners import Groups, Partners, Relation, equal_pairs, firsts_of
from rayred.checking.pictures import Pictures
from rayred.data.appearance import ORIENTATIONS
from rayred.linkage.distinct import distinct_rows
from rayred.linkage.pairs import pair_distances
from rayred.linkage.rows import unit_rows
from rayred.linkage.settings import EngineSettings
from rayred.linkage.within import pairs_within
from rayred.progress import progress_bar

DETECTORS = ("bytes", "pixels", "hash", "near")
"""Equal encoded bytes; equal decoded pixels; perceptual hashes that differ in few bits, turned and
mirrored too; embeddings or thumbnails within a distance."""


@dataclass(frozen=True)
class Limits:
    """Up to where two images count as the same."""

    max_distance: float = 0.02
    """Largest cosine distance of embeddings or thumbnails, 0 to 2."""
    hash_bits: int = 4
    """Largest number of bits, of 64, in which perceptual hashes differ."""


@dataclass(frozen=True)
class Found:
    """What all detectors have found."""

    partners: Mapping[str, Partners]
    """By detector."""
    group: NDArray[np.int64]
    """(N,) a number for each image, equal for images that any detector connects."""
    unit: Tensor
    """(N, D) float64, what the images are compared by, scaled to length 1."""


@dataclass(frozen=True)
class Measured:
    """What every detector says of some pairs of images."""

    bytes: NDArray[np.bool_]
    """(E,) whether the encoded bytes are equal."""
    pixels: NDArray[np.bool_]
    """(E,) whether the decoded pixels are equal."""
    hash_bits: NDArray[np.int64]
    """(E,) in how many bits the hashes differ, in the orientation in which they differ least."""
    orientation: list[str]
    """That orientation of the second image, one of `ORIENTATIONS`."""
    distance: NDArray[np.float64]
    """(E,) cosine distance."""

    def found_by(self, limits: Limits) -> list[str]:
        """Return the detectors that see each pair as the same, joined by ``+``."""
        near = self.distance <= limits.max_distance
        seen = np.stack([self.bytes, self.pixels, self.hash_bits <= limits.hash_bits, near], 1)
        return ["+".join(np.array(DETECTORS)[row]) for row in seen]


def find(pictures: Pictures, limits: Limits) -> Found:
    """Return the closest partners of all images, by every detector, and their groups."""
    kind = pictures.kind
    partners = {name: Partners(pictures.split, pictures.label) for name in DETECTORS}
    groups = Groups(len(kind))
    unit = unit_rows(pictures.x, EngineSettings().torch_device())
    # Of equal images, the first of each kind is compared with others, and stands for the rest.
    alike = {
        "bytes": pictures.encoded,
        "pixels": pictures.pixels,
        "hash": _equal_rows(pictures.hashes),
        "near": _equal_directions(unit),
    }
    for name, content in alike.items():
        i, j = equal_pairs(content, kind)
        partners[name].offer(i, j, np.zeros(len(i)))
        groups.connect(i, j)
    firsts = {name: firsts_of(alike[name], kind) for name in ("hash", "near")}
    rows = np.unique(firsts["hash"])
    for i, j, bits in near_hashes(pictures.hashes[rows], limits.hash_bits):
        partners["hash"].offer(rows[i], rows[j], bits)
        groups.connect(rows[i], rows[j])
    rows = np.unique(firsts["near"])
    with progress_bar("near copies", "image", len(rows)) as bar:

        def report(share: float) -> None:
            bar.update(round(len(rows) * share) - bar.n)

        compared = unit[torch.from_numpy(rows)] if len(rows) < len(unit) else unit
        for i, j, distance in pairs_within(compared, limits.max_distance, report=report):
            partners["near"].offer(rows[i], rows[j], distance)
            groups.connect(rows[i], rows[j])
    for name, first in firsts.items():
        partners[name].inherit(first)
    return Found(partners, groups.group, unit)


def measure(
    pictures: Pictures, found: Found, i: NDArray[np.int64], j: NDArray[np.int64]
) -> Measured:
    """Return what every detector says of pairs of images, (E,) each."""
    bits, orientation = closest_orientation(pictures.hashes, i, j)
    pair = torch.from_numpy(i), torch.from_numpy(j)
    device = found.unit.device
    return Measured(
        pictures.encoded[i] == pictures.encoded[j],
        pictures.pixels[i] == pictures.pixels[j],
        bits,
        [ORIENTATIONS[one] for one in orientation],
        pair_distances(found.unit, *(one.to(device) for one in pair)).cpu().numpy(),
    )


def best_partners(found: Found, relation: Relation) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the images that have a partner of a relation, and the partner of each, (E,).

    It is equal in bytes, if there is such a one, else in pixels, else the closest by distance, else
    by its hash.
    """
    best = np.full(len(found.group), -1)
    for name in ("hash", "near", "pixels", "bytes"):
        partner = found.partners[name].partner[relation]
        best = np.where(partner >= 0, partner, best)
    images = np.flatnonzero(best >= 0)
    return images, best[images]


def _equal_rows(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return equal numbers for equal rows of (N, 8)."""
    _, numbers = np.unique(values, axis=0, return_inverse=True)
    return numbers.ravel().astype(np.int64)


def _equal_directions(unit: Tensor) -> NDArray[np.int64]:
    """Return equal numbers for equal rows of (N, D)."""
    i, j = distinct_rows(unit).duplicates.T
    edges = coo_array((np.ones(len(i), np.int8), (i, j)), shape=(len(unit), len(unit)))
    numbers: NDArray[np.int64] = connected_components(edges, directed=False)[1].astype(np.int64)
    return numbers

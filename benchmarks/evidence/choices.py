"""Ways to choose the images of a subset in the space of a reference, and what a subset leaves out.

Legend: N images, D dimensions of an embedding, n images of a subset, M test images.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.evidence.trainings import DEFAULTS, train
from rayred.data.dataset import Dataset
from rayred.linkage import complete_linkage, linkage_trees, representatives
from rayred.linkage.rows import as_unit_rows
from rayred.models import Classifier
from rayred.training import Outcome, embed_images

LOWEST = 0.3
"""Least share of a class that a cut at a common height may keep."""
NEIGHBOURS = 10
"""Nearest images of its class whose mean distance is an image's sparsity."""
PARTS = 10
"""Equal parts of the images of a class by sparsity."""

Rows = NDArray[np.int64]
Embeddings = NDArray[np.float32]


class LargestPooled:
    """A ResNet for small images whose features are pooled by the largest value of each channel."""

    def __init__(self, model: Classifier) -> None:
        self.model = model

    def to(self, device: torch.device) -> Self:
        """Move to a device."""
        self.model.to(device)
        return self

    def eval(self) -> Self:
        """Change to evaluation mode."""
        self.model.eval()
        return self

    def embed(self, x: Tensor) -> Tensor:
        """Return (B, D) float32 of raw pixels."""
        network: Any = self.model.network
        features = F.relu(network.norm(network.blocks(network.stem(self.model.normalise(x)))))
        pooled: Tensor = features.amax(dim=(2, 3))
        return pooled


def embeddings_of(outcome: Outcome, dataset: Dataset) -> dict[str, Embeddings]:
    """Return the embeddings of all images by both poolings."""
    cpu = torch.device("cpu")
    found = {}
    for pooling, model in (("mean", outcome.model), ("largest", LargestPooled(outcome.model))):
        for part, split in (("train", dataset.train), ("test", dataset.test)):
            found[f"{pooling}_{part}"] = embed_images(model, split, cpu)
    return found


def reference(
    dataset: Dataset, folder: Path, steps: int, seed: int, settings: Mapping[str, Any] = DEFAULTS
) -> dict[str, Embeddings]:
    """Return the embeddings of all images by a reference on all of them, which is trained once."""
    file = folder / f"reference-{steps}-{seed}.npz"
    if not file.exists():
        outcome = train(dataset, np.arange(len(dataset.train)), steps, seed, settings)
        unfinished = file.with_suffix(".part.npz")
        arrays: dict[str, Any] = {**embeddings_of(outcome, dataset)}
        np.savez(unfinished, **arrays)
        unfinished.rename(file)
        print(f"reference of {steps} steps: {100 * outcome.test_accuracy:.2f} %", flush=True)
    with np.load(file) as arrays:
        return dict(arrays)


def members_of(labels: Rows) -> list[Rows]:
    """Return the rows of each class."""
    return [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]


def groups_of(x: Embeddings, labels: Rows, fraction: float) -> Rows:
    """Return the redundant group of each image, (N,); no group is in two classes."""
    groups = np.empty(len(x), np.int64)
    before = 0
    for rows in members_of(labels):
        count = round(fraction * len(rows))
        groups[rows] = before + complete_linkage(x[rows], count).labels(count)
        before += count
    return groups


def semantic(
    x: Embeddings, labels: Rows, fraction: float, rng: np.random.Generator | None = None
) -> Rows:
    """Return the image of each redundant group closest to its centre, or a random one of it."""
    groups = groups_of(x, labels, fraction)
    if rng is None:
        return np.sort(representatives(x, groups))
    order = rng.permutation(len(groups))
    return np.sort(order[np.unique(groups[order], return_index=True)[1]])


def at_common_height(x: Embeddings, labels: Rows, fraction: float) -> Rows:
    """Return one image of each group, where the trees of all classes are cut at one height."""
    members = members_of(labels)
    lowest = [round(LOWEST * len(rows)) for rows in members]
    trees = list(linkage_trees(x, members, lowest))
    merges = len(labels) - round(fraction * len(labels))
    height = np.sort(np.concatenate([tree.heights for tree in trees]))[merges - 1]
    kept = []
    for rows, tree in zip(members, trees, strict=True):
        count = len(rows) - int((tree.heights <= height).sum())
        kept.append(rows[representatives(x[rows], tree.labels(count))])
    return np.sort(np.concatenate(kept))


def at_random(labels: Rows, fraction: float, rng: np.random.Generator) -> Rows:
    """Return a random subset of each class."""
    kept = [
        rng.choice(rows, round(fraction * len(rows)), replace=False) for rows in members_of(labels)
    ]
    return np.sort(np.concatenate(kept))


def sparsity_parts(x: Embeddings, labels: Rows, among: Embeddings, among_labels: Rows) -> Rows:
    """Return the part of each image of its class, by sparsity: 0 (dense) to 9 (sparse).

    Parameters
    ----------
    x, labels
        Embeddings and classes of images.
    among, among_labels
        Of the images that are their neighbours, those of their own class; itself does not count.
    """
    part = np.empty(len(x), np.int64)
    for label, rows in enumerate(members_of(labels)):
        distances = _distances(x[rows], among[among_labels == label])
        distances[distances < 1e-7] = np.inf  # the image itself, and copies
        nearest = np.partition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        rank = nearest.mean(axis=1).argsort(kind="stable").argsort(kind="stable")
        part[rows] = rank * PARTS // len(rows)
    return part


def _distances(x: Embeddings, y: Embeddings) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.maximum(1 - as_unit_rows(x) @ as_unit_rows(y).T, 0)
    return distances

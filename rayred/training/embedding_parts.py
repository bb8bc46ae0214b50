"""Embeddings of a data set in files of some thousand images, which become one file at the end.

A run that is killed keeps the parts that are finished, and no process holds more than one part.

Legend: N images, D embedding dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayred.files import replacing, write_array, write_rows

EMBEDDING_PARTS = "embedding-parts"
"""Folder within the run folder for the parts of an unfinished embedding pass, by its key."""
PART_IMAGES = 8_192
"""Images of a part: a constant, as the rounding of an embedding may depend on its part."""

Range = tuple[int, int]
"""First image of a part, and the image after its last."""


@dataclass(frozen=True)
class EmbeddingParts:
    """The parts of one embedding pass."""

    folder: Path
    """Folder of the parts."""
    n_images: int
    """N."""

    def ranges(self) -> list[Range]:
        """Return all parts, in data set order."""
        firsts = range(0, self.n_images, PART_IMAGES)
        return [(first, min(first + PART_IMAGES, self.n_images)) for first in firsts]

    def missing(self) -> list[Range]:
        """Return the parts that have no file yet."""
        return [part for part in self.ranges() if not self._path(part).exists()]

    def keep(self, part: Range, embeddings_ND: NDArray[np.float32]) -> None:
        """Write the (n, D) embeddings of one part to its file."""
        with replacing(self._path(part)) as temporary:
            write_array(temporary, embeddings_ND)

    def join(self, path: Path) -> None:
        """Write all parts into one (N, D) float32 .npy file, one after another."""
        write_rows(path, self.n_images, (np.load(self._path(part)) for part in self.ranges()))

    def _path(self, part: Range) -> Path:
        return self.folder / f"part-{part[0]:09}.npy"


def save_embeddings(path: Path, parts: EmbeddingParts) -> None:
    """Write the embeddings of all parts to one file."""
    parts.join(path)


def load_embeddings(path: Path) -> NDArray[np.float32]:
    """Return the (N, D) float32 embeddings as a memory map, read where they are accessed."""
    embeddings: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return embeddings

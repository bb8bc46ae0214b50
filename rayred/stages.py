"""The stages of a study that leave a file or folder, and how each is saved and loaded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees, load_trees, save_trees
from rayred.search.results import FOUND_FILE, Found, load_found, save_found
from rayred.selection import Subset, load_subsets, save_subsets
from rayred.store import Stage
from rayred.training import Trained, load_trained, save_trained
from rayred.training.embedding_parts import EmbeddingParts, load_embeddings, save_embeddings

SEARCH = Stage[Found, Found]("search", FOUND_FILE, save_found, load_found)
REFERENCE = Stage[Trained, Trained]("reference", "reference.pt", save_trained, load_trained)
EMBEDDINGS = Stage[EmbeddingParts, NDArray[np.float32]](
    "embeddings", "embeddings.npy", save_embeddings, load_embeddings
)
TREES = Stage[ClassTrees, ClassTrees]("trees", "trees.npz", save_trees, load_trees)
SUBSETS = Stage[dict[str, Subset], dict[str, Subset]](
    "subsets", "subsets", save_subsets, load_subsets
)

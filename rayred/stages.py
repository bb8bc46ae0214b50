"""The stages of a study that leave a file or folder, and how each is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.clustering.trees import ClassTrees, load_trees, save_trees
from rayred.search.results import FOUND_FILE, Found, load_found, save_found
from rayred.selection import Subset, load_subsets, save_subsets
from rayred.store import Stage
from rayred.training.embedding_parts import EmbeddingParts, load_embeddings, save_embeddings
from rayred.training.trained import Trained, load_trained, save_trained

SEARCH = Stage[Found, Found]("search", FOUND_FILE, 1, save_found, load_found)
REFERENCE = Stage[Trained, Trained]("reference", "reference.pt", 2, save_trained, load_trained)
EMBEDDINGS = Stage[EmbeddingParts, NDArray[np.float32]](
    "embeddings", "embeddings.npy", 2, save_embeddings, load_embeddings
)
TREES = Stage[ClassTrees, ClassTrees]("trees", "trees.npz", 1, save_trees, load_trees)
SUBSETS = Stage[dict[str, Subset], dict[str, Subset]](
    "subsets", "subsets", 1, save_subsets, load_subsets
)

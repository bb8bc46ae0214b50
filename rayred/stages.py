"""The stages of a study that leave a file or folder, and how each is kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rayred.class_trees import ClassTrees, load_trees, save_trees
from rayred.run_folder import Stage
from rayred.selection import Subset, load_subsets, save_subsets
from rayred.training.trained import Trained, load_trained, save_trained

REFERENCE = Stage[Trained]("reference", "reference.pt", 1, save_trained, load_trained)
EMBEDDINGS = Stage[NDArray[np.float32]]("embeddings", "embeddings.npy", 1, np.save, np.load)
TREES = Stage[ClassTrees]("trees", "trees.npz", 1, save_trees, load_trees)
SUBSETS = Stage[dict[str, Subset]]("subsets", "subsets", 1, save_subsets, load_subsets)

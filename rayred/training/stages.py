"""The stages of a study that leave a training's outcome."""

from __future__ import annotations

from dataclasses import replace

from rayred.clustering.mean_distance import save_mean_space
from rayred.store import path_stage
from rayred.training.embedding_parts import load_embeddings, save_embeddings
from rayred.training.trained import load_trained, save_trained

REFERENCE = path_stage("reference", "reference.pt", save_trained, load_trained)
EMBEDDINGS = path_stage("embeddings", "embeddings.npy", save_embeddings, load_embeddings)
OTHERS = replace(
    path_stage("other-embeddings", "embeddings.npy", save_embeddings, load_embeddings), shown=False
)
"""Embeddings of images that are not those of the study."""
MEAN_SPACE = replace(
    path_stage("mean-space", "embeddings.npy", save_mean_space, load_embeddings), shown=False
)
"""The space of the mean distance of several references."""

"""The stages of a study that leave a training's outcome."""

from __future__ import annotations

from rayred.store import path_stage
from rayred.training.embedding_parts import load_embeddings, save_embeddings
from rayred.training.trained import load_trained, save_trained

REFERENCE = path_stage("reference", "reference.pt", save_trained, load_trained)
EMBEDDINGS = path_stage("embeddings", "embeddings.npy", save_embeddings, load_embeddings)

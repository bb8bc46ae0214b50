"""A full disk is an OSError that says so, whatever library writes."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from rayred.data import load_dataset
from rayred.training import Trained, save_trained, train_model
from rayred.training.embedding_parts import EmbeddingParts, save_embeddings
from tests.training.examples import task

FULL = Path("/dev/full")


def test_the_reference_does_not_fit():
    outcome = train_model(task(steps=1), load_dataset("digits"), np.arange(64))
    with pytest.raises(OSError, match="No space left") as raised:
        save_trained(FULL, Trained.of(task(steps=1), outcome))
    assert raised.value.errno == errno.ENOSPC


def test_the_embeddings_do_not_fit(tmp_path):
    parts = EmbeddingParts(tmp_path, 3)
    parts.keep((0, 3), np.ones((3, 2), np.float32))
    with pytest.raises(OSError, match="No space left"):
        save_embeddings(FULL, parts)

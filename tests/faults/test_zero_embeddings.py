"""A reference model that gives some images an embedding of zeros, which has no direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rayred import references
from rayred.clustering.trees import load_trees
from rayred.data import load_dataset
from tests.conftest import rayred_here, write_experiment


@pytest.mark.usefixtures("cluster")
def test_the_study_goes_on_with_those_images_as_a_group_and_names_them(
    tmp_path, monkeypatch, caplog
):
    train = load_dataset("digits").train
    zero = np.flatnonzero(train.labels == 3)[[0, 4, 9, 20]]
    plain = references.embed

    def embed(job, reference, number):
        made = plain(job, reference, number)
        values = np.array(made.value)
        values[zero] = 0
        return replace(made, value=values, digest="0" * 64)

    monkeypatch.setattr(references, "embed", embed)
    sweep = {"fractions": [1.0, 0.5], "selectors": ["semantic"], "trials": 1}
    study = write_experiment(tmp_path / "zero.yaml", train={"steps": 2}, sweep=sweep)
    with caplog.at_level("WARNING", "rayred"):
        done = rayred_here("run", study, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    names = ", ".join(train.names[row] for row in zero[:3])
    assert f"the embeddings of 4 of 1,297 images are all zero ({names}, …)" in caplog.text
    groups = load_trees(tmp_path / "run" / "trees.npz").groups(0.5)
    assert np.flatnonzero(groups == groups[zero[0]]).tolist() == zero.tolist()
    kept = np.load(tmp_path / "run" / "subsets" / "semantic-0.5.npy")
    assert np.intersect1d(kept, zero).tolist() == [zero[0]]

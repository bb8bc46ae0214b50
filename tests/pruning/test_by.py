"""`rayred prune --by`: other selectors than the semantic one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rayred import prune
from rayred.data import load_dataset
from rayred.errors import ConfigError, RunFolderError
from rayred.selection import load_subsets
from tests.conftest import rayred_here, write_experiment

pytestmark = pytest.mark.usefixtures("cluster")


def test_it_keeps_what_the_first_trial_of_a_study_does(tmp_path):
    file = write_experiment(tmp_path / "two.yaml")
    selectors = "sweep.selectors=[forgetting, random]"
    run = tmp_path / "run"
    done = rayred_here("run", file, "--set", selectors, "--set", "sweep.trials=1", "--out", run)
    assert done.returncode == 0, done.stderr
    subsets, embeddings = load_subsets(run / "subsets"), run / "embeddings.npy"
    out = tmp_path / "random"
    done = rayred_here(
        "prune", "digits", "--keep", "0.5", "--by", "random", "--embeddings", embeddings,
        "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert np.load(out / "kept.npy").tolist() == subsets["random-0.5-0"].tolist()
    settings = ["model=resnet8", "train.steps=20", "train.batch_size=64"]
    forgotten = prune("digits", 0.5, tmp_path / "forgotten", by="forgetting", overrides=settings)
    assert len(forgotten.kept) == len(subsets["forgetting-0.5"])
    with pytest.raises(RunFolderError, match=r"sweep\.selectors"):
        prune("digits", 0.5, tmp_path / "forgotten", overrides=settings)


def test_the_nearest_kept_image_of_its_class_stands_for_an_image(tmp_path):
    rng = np.random.default_rng(0)
    digits = load_dataset("digits").train
    x = rng.normal(size=(len(digits), 5))
    np.save(tmp_path / "x.npy", x)
    small = prune("digits", 0.1, tmp_path / "small", by="k_center", embeddings=tmp_path / "x.npy")
    groups, kept = small.groups, small.kept
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for label in range(10):
        rows = np.flatnonzero(digits.labels == label)
        chosen = np.intersect1d(rows, kept)
        distances = 1 - unit[rows] @ unit[chosen].T
        assert groups["representative"][rows].tolist() == chosen[distances.argmin(1)].tolist()
        assert groups["distance"][rows].to_numpy() == pytest.approx(distances.min(1), abs=1e-12)
    assert groups["kept"].to_numpy().nonzero()[0].tolist() == kept.tolist()
    assert len(pd.read_csv(tmp_path / "small" / "discarded.csv")) == len(digits) - len(kept)
    assert small.summary.distance == groups["distance"].max()
    assert not (tmp_path / "small" / "scores.parquet").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "magic"}, "expected semantic, random"),
        ({"by": "random", "floor": 2}, "no distance, common share, floor"),
        ({"by": "random", "allocate": "common"}, "no distance, common share, floor"),
        ({"by": "random", "representative": "largest"}, "no distance, common share, floor"),
        ({"by": "el2n", "pixels": True}, "leave out --embeddings"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_sentence(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        prune("digits", 0.5, tmp_path / "small", **options)
    with pytest.raises(ConfigError, match="no distance"):
        prune("digits", None, tmp_path / "small", max_distance=0.1, by="random")
    assert not (tmp_path / "small").exists()

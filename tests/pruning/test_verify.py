"""`rayred verify`: a study of exactly the images that a smaller data set keeps."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from rayred import verify
from rayred.config import Train
from rayred.data import load_dataset
from rayred.errors import ConfigError, DataError, RunFolderError
from rayred.pruning.verifying import _experiment, _rounded
from rayred.selection import load_subsets
from rayred.store import Store
from rayred.study import experiment_of
from tests.conftest import rayred_here
from tests.data.examples import write_images
from tests.faults.snapshots import snapshot

pytestmark = pytest.mark.usefixtures("cluster")

QUICK = ("--set", "train.steps=10", "--set", "train.batch_size=32")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Digits of which one class gives more than the others."""
    home = tmp_path_factory.mktemp("small")
    labels = load_dataset("digits").train.labels
    x = np.random.default_rng(0).normal(size=(len(labels), 6))
    x[labels == 3] = 1 + 0.01 * x[labels == 3]
    np.save(home / "x.npy", x)
    done = rayred_here(
        "prune", "digits", "--keep", "0.95", "--allocate", "common", "--out", home / "small",
        "--embeddings", home / "x.npy", *QUICK,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return home / "small"


def test_it_is_a_study_of_the_kept_images_and_of_random_ones(small):
    before = snapshot(small)
    del before[str(small)]  # which the study is put into
    done = rayred_here("verify", small, "--trials", "1")
    assert done.returncode == 0, done.stderr
    kept, labels = np.load(small / "kept.npy"), load_dataset("digits").train.labels
    counts = np.bincount(labels[kept])
    assert counts.min() < 0.7 * np.median(counts)
    run = small / "verified"
    subsets = load_subsets(run / "subsets")
    fraction = 1 - float(f"{1 - len(kept) / len(labels):.3g}")
    assert subsets[f"given-{fraction!r}"].tolist() == kept.tolist()
    (random,) = (rows for name, rows in subsets.items() if name.startswith("random"))
    assert random.tolist() != kept.tolist()
    assert np.bincount(labels[random]).tolist() == counts.tolist()
    cells = json.loads((run / "results.json").read_text())["cells"]
    assert [cell["selector"] for cell in cells] == ["full", "given", "random"]
    assert [cell["n_train"] for cell in cells] == [len(labels), len(kept), len(kept)]
    assert "given" in done.stdout
    assert str(run / "report.html") in done.stdout
    after = snapshot(small)
    assert {path: after[path] for path in before} == before
    again = rayred_here("verify", small, "--trials", "1")
    assert again.returncode == 0
    assert again.stdout == done.stdout


def test_as_many_other_images_are_another_study(small, tmp_path):
    folder = tmp_path / "small"
    shutil.copytree(small, folder)
    first = verify(folder, overrides=["sweep.trials=1"])
    kept = np.load(folder / "kept.npy")
    labels = load_dataset("digits").train.labels
    gone = np.setdiff1d(np.arange(len(labels)), kept)
    swapped = next(row for row in kept if labels[row] == labels[gone[0]])
    others = np.sort(np.append(kept[kept != swapped], gone[0]))
    np.save(tmp_path / "others.npy", others)
    (tmp_path / "others.npy").replace(folder / "kept.npy")
    second = verify(folder, overrides=["sweep.trials=1"])
    assert second.folder == first.folder == folder / "verified"
    subsets = load_subsets(second.folder / "subsets")
    (given,) = (rows for name, rows in subsets.items() if name.startswith("given"))
    assert given.tolist() == others.tolist()


def test_steps_can_be_changed_without_what_follows_from_them(small):
    pruned = experiment_of(Store(small))
    assert pruned.train.steps == 10
    given = _experiment(pruned, small / "kept.npy", 0.95, ["train.steps=400"])
    assert given.train == Train(steps=400, batch_size=32)
    assert given.sweep.fractions == [1.0, 0.95]
    assert given.resources.device == "auto"


@pytest.mark.parametrize(
    ("share", "rounded"), [(0.94987, 0.9499), (1 - 1 / 50_000, 0.99998), (3e-5, 3e-5), (0.5, 0.5)]
)
def test_shares_are_rounded_to_neither_0_nor_1(share, rounded):
    assert _rounded(share) == rounded


def test_without_a_test_split_it_asks_for_one(tmp_path):
    write_images(tmp_path / "pets" / "cat", 8, size=(8, 8))
    write_images(tmp_path / "pets" / "dog", 8, size=(8, 8))
    root = ("--set", f"data.root={tmp_path / 'root'}")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(16, 3)))
    done = rayred_here(
        "prune", f"folder:{tmp_path / 'pets'}", "--keep", "0.5", "--out", tmp_path / "small",
        "--embeddings", tmp_path / "x.npy", *QUICK, *root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pytest.raises(DataError, match=r"data\.test"):
        verify(tmp_path / "small")
    assert not (tmp_path / "small" / "verified").exists()
    for animal in ("cat", "dog"):
        write_images(tmp_path / "others" / animal, 4, size=(8, 8), mode="L")
    test = f"data.test=folder:{tmp_path / 'others'}"
    settings = [test, "train.batch_size=8", "sweep.trials=1"]
    study = verify(tmp_path / "small", tmp_path / "run", overrides=settings)
    assert [cell.n_train for cell in study.verdict.cells] == [16, 8, 8]
    (tmp_path / "pets" / "cat" / "0.png").unlink()
    with pytest.raises(RunFolderError, match=r"since they were pruned \(train: 0 new, 1 gone\)"):
        verify(tmp_path / "small", tmp_path / "later", overrides=settings)
    assert not (tmp_path / "later").exists()


def test_what_cannot_be_verified_is_refused(tmp_path, small):
    with pytest.raises(RunFolderError, match="no run folder"):
        verify(tmp_path / "nothing")
    whole = tmp_path / "whole"
    shutil.copytree(small, whole)
    done = rayred_here(
        "prune", "digits", "--keep", "1", "--out", whole, "--update", *QUICK,
        "--embeddings", small.parent / "x.npy",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pytest.raises(RunFolderError, match="keeps all images"):
        verify(whole)
    done = rayred_here(
        "prune", "digits", "--unlabelled", "--pixels", "--keep", "0.9", "--out", tmp_path / "one",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pytest.raises(ConfigError, match="without labels"):
        verify(tmp_path / "one")
    rayred_here("prune", "digits", "--pixels", "--out", tmp_path / "looked", *QUICK)
    with pytest.raises(RunFolderError, match="holds no smaller data set"):
        verify(tmp_path / "looked")

import numpy as np
import pytest

from rayred.clustering.groups import redundant_groups
from rayred.clustering.trees import kept_images, load_trees, save_trees
from rayred.config import Sweep
from rayred.selection import Candidates, load_subsets, make_subsets, save_subsets, subset_name

SIZES = (40, 25, 3)


@pytest.fixture
def candidates() -> Candidates:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    embeddings = rng.normal(size=(len(labels), 6)).astype(np.float32)
    groups = redundant_groups(embeddings, labels, [0.8, 0.6, 0.5])
    return Candidates(labels, embeddings, groups)


@pytest.mark.parametrize(
    ("size", "fraction", "kept"),
    [(5000, 0.9, 4500), (100, 0.29, 29), (3, 0.5, 2), (3, 0.1, 1), (1, 0.5, 1), (10, 1.0, 10)],
)
def test_a_class_keeps_its_share_rounded_and_at_least_one_image(size, fraction, kept):
    assert kept_images(size, fraction) == kept


def test_every_subset_keeps_the_same_share_of_every_class(candidates):
    sweep = Sweep(fractions=[1.0, 0.8, 0.5], trials=3)
    subsets = make_subsets(candidates, sweep, seed=0)
    assert sorted(subsets) == sorted(
        ["full-1.0", "semantic-0.8", "semantic-0.5"]
        + [f"random-{fraction}-{trial}" for fraction in (0.8, 0.5) for trial in range(3)]
    )
    for name, kept in subsets.items():
        fraction = float(name.split("-")[1])
        counts = np.bincount(candidates.labels[kept]).tolist()
        assert counts == [kept_images(size, fraction) for size in SIZES]
        assert kept.dtype == np.int64
        assert (np.diff(kept) > 0).all()


def test_semantic_keeps_the_representatives(candidates):
    kept = make_subsets(candidates, Sweep(fractions=[0.6]), seed=0)["semantic-0.6"]
    assert kept.tolist() == candidates.groups.kept[0.6].tolist()


def test_random_subsets_are_redrawn_by_trial_and_repeat_by_seed(candidates):
    sweep = Sweep(fractions=[0.5], selectors=["random"], trials=2)
    first, again = (make_subsets(candidates, sweep, seed=1) for _ in range(2))
    other = make_subsets(candidates, sweep, seed=2)
    assert first["random-0.5-0"].tolist() == again["random-0.5-0"].tolist()
    assert first["random-0.5-0"].tolist() != first["random-0.5-1"].tolist()
    assert first["random-0.5-0"].tolist() != other["random-0.5-0"].tolist()


def test_random_subsets_are_uniform(candidates):
    sweep = Sweep(fractions=[0.5], selectors=["random"], trials=2000)
    counts = np.zeros(len(candidates.labels))
    for kept in make_subsets(candidates, sweep, seed=0).values():
        counts[kept] += 1
    share = counts / 2000
    expected = np.array([kept_images(size, 0.5) / size for size in SIZES])[candidates.labels]
    # Five standard deviations of a binomial share.
    assert np.abs(share - expected).max() < 5 * np.sqrt(0.25 / 2000)


def test_adding_a_trial_or_a_fraction_changes_no_other_subset(candidates):
    small = make_subsets(candidates, Sweep(fractions=[0.5], trials=1), seed=0)
    large = make_subsets(candidates, Sweep(fractions=[0.8, 0.5], trials=2), seed=0)
    assert all(np.array_equal(large[name], kept) for name, kept in small.items())


def test_subsets_and_trees_are_read_as_they_were_written(candidates, tmp_path):
    subsets = make_subsets(candidates, Sweep(fractions=[1.0, 0.5], trials=2), seed=0)
    save_subsets(tmp_path / "subsets", subsets)
    read = load_subsets(tmp_path / "subsets")
    assert read.keys() == subsets.keys()
    assert all(np.array_equal(read[name], kept) for name, kept in subsets.items())
    save_trees(tmp_path / "trees.npz", candidates.groups.trees)
    trees = load_trees(tmp_path / "trees.npz")
    written = candidates.groups.trees
    for label in range(len(SIZES)):
        assert np.array_equal(trees.members[label], written.members[label])
        assert np.array_equal(trees.trees[label].children, written.trees[label].children)
        assert np.array_equal(trees.trees[label].heights, written.trees[label].heights)


def test_subset_names():
    assert subset_name("semantic", 0.9, 3) == "semantic-0.9"
    assert subset_name("random", 0.9, 3) == "random-0.9-3"
    assert subset_name("full", 1.0, 3) == "full-1.0"

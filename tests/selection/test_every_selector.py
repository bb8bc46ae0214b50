"""What holds for every selector, whatever it chooses by."""

import dataclasses

import numpy as np
import pytest

from rayred.clustering.groups import redundant_groups
from rayred.config import Sweep
from rayred.config.sweep import SELECTORS as ALLOWED
from rayred.data import load_dataset
from rayred.errors import ConfigError
from rayred.selection import SELECTORS, Candidates, load_subsets, make_subsets
from rayred.training import load_trained
from tests.conftest import rayred_here, write_experiment
from tests.selection.examples import FRACTIONS, backwards, odd_candidates

OVER_ALL_CLASSES = {"el2n", "forgetting", "ccs"}
A_CLASS_APART = sorted(SELECTORS.keys() - OVER_ALL_CLASSES - {"semantic", "random"})

each = pytest.mark.parametrize("name", SELECTORS)


def select(name, candidates, fraction, seed=0):
    return SELECTORS[name].select(candidates, fraction, np.random.default_rng(seed))


def test_an_experiment_may_name_every_selector():
    assert list(ALLOWED) == list(SELECTORS)


@each
@pytest.mark.parametrize("fraction", FRACTIONS)
def test_as_many_images_are_kept_as_the_fraction_says(name, fraction):
    candidates = odd_candidates()
    kept = select(name, candidates, fraction)
    assert kept.dtype == np.int64
    assert (np.diff(kept) > 0).all()
    counts = np.bincount(candidates.labels[kept])
    if name in OVER_ALL_CLASSES:
        assert counts.min() >= 1
        assert counts.sum() == sum(candidates.counts(fraction))
    else:
        assert counts.tolist() == candidates.counts(fraction)


@each
def test_all_images_are_kept_where_the_fraction_rounds_to_all(name):
    candidates = odd_candidates()
    if name == "semantic":
        pytest.skip("takes groups at the fraction")
    assert select(name, candidates, 0.999).tolist() == list(range(len(candidates.labels)))


@each
def test_results_may_come_in_any_order_from_other_processes(name):
    here, there = odd_candidates(), odd_candidates(map=backwards)
    assert select(name, here, 0.5).tolist() == select(name, there, 0.5).tolist()


@pytest.mark.parametrize("name", A_CLASS_APART)
def test_a_class_keeps_the_same_images_whatever_the_others_hold(name):
    candidates = odd_candidates()
    x = candidates.embeddings.copy()
    scores = candidates.scores["el2n"].copy()
    others = np.flatnonzero(candidates.labels != 0)
    mixed = np.random.default_rng(9).permutation(others)
    x[others], scores[others] = x[mixed], scores[mixed]
    changed = dataclasses.replace(candidates, embeddings=x, scores={"el2n": scores})
    first, second = (
        [row for row in select(name, c, 0.5) if c.labels[row] == 0] for c in (candidates, changed)
    )
    assert first == second


def test_a_selector_without_the_scores_that_it_needs_is_refused():
    needy = [name for name, selector in SELECTORS.items() if selector.needs]
    candidates = dataclasses.replace(odd_candidates(), scores={})
    for name in needy:
        sweep = Sweep(fractions=[0.5]).model_copy(update={"selectors": [name]})
        with pytest.raises(ConfigError, match=f"'{name}' chooses by the scores"):
            make_subsets(candidates, sweep, seed=0)


@pytest.mark.usefixtures("cluster")
def test_a_study_compares_all_selectors(tmp_path):
    """With Ray: the work on classes is sent to actors, and scores are gathered on the way."""
    file = write_experiment(tmp_path / "all.yaml")
    names = f"sweep.selectors=[{', '.join(SELECTORS)}]"
    options = ["--set", names, "--set", "sweep.trials=1", "--out", tmp_path / "run"]
    done = rayred_here("run", file, *options)
    assert done.returncode == 0, done.stderr
    subsets = load_subsets(tmp_path / "run" / "subsets")
    assert {len(kept) for name, kept in subsets.items() if "full" not in name} == {651}
    embeddings = np.load(tmp_path / "run" / "embeddings.npy")
    scores = load_trained(tmp_path / "run" / "reference.pt").scores
    digits = load_dataset("digits").train
    groups = redundant_groups(embeddings, digits.labels, [0.5])
    here = make_subsets(
        Candidates(digits.labels, embeddings, groups, scores),
        Sweep(fractions=[1.0, 0.5], selectors=list(SELECTORS), trials=1),
        seed=0,
    )
    assert here.keys() == subsets.keys()
    assert all(np.array_equal(here[name], kept) for name, kept in subsets.items())

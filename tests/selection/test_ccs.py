import numpy as np
import pytest

from rayred.selection import Candidates
from rayred.selection.ccs import HARDEST, STRATA, budgets, select_ccs, strata


def budgets_by_definition(sizes, count):
    """Algorithm 1 of the paper, with the empty strata left out."""
    left = {stratum: size for stratum, size in enumerate(sizes) if size}
    found = [0] * len(sizes)
    while left:
        smallest = min(left, key=lambda stratum: (left[stratum], stratum))
        found[smallest] = min(left[smallest], count // len(left))
        count -= found[smallest]
        del left[smallest]
    return found


@pytest.mark.parametrize("seed", range(5))
def test_the_budget_is_even_where_strata_have_enough(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.poisson(2, STRATA) ** 2
    for count in (1, int(sizes.sum()) // 3, int(sizes.sum())):
        found = budgets(sizes, count)
        assert found.tolist() == budgets_by_definition(sizes.tolist(), count)
        assert found.sum() == count
        assert (found <= sizes).all()


def test_strata_have_equal_width():
    edges = np.arange(STRATA + 1) / STRATA
    middles = (edges[1:] + edges[:-1]) / 2
    scores = 3 + 2 * np.concatenate([[0.0], middles, [1.0]])
    assert strata(scores).tolist() == [0, *range(STRATA), STRATA - 1]
    assert strata(np.full(4, 0.3)).tolist() == [0] * 4


def candidates(n):
    scores = np.random.default_rng(0).beta(1, 4, n)
    return Candidates(np.arange(n) % 2, np.ones((n, 1)), scores={"el2n": scores})


@pytest.mark.parametrize("fraction", [0.9, 0.5, 0.1])
def test_each_stratum_without_the_hardest_gives_its_budget(fraction):
    some = candidates(600)
    kept = select_ccs(some, fraction, np.random.default_rng(1))
    scores = some.scores["el2n"]
    rest = np.sort(np.argsort(scores)[: 600 - int(HARDEST * (600 - len(kept)))])
    stratum = dict(zip(rest.tolist(), strata(scores[rest]).tolist(), strict=True))
    drawn = np.bincount([stratum[row] for row in kept.tolist()], minlength=STRATA)
    sizes = np.bincount(list(stratum.values()), minlength=STRATA)
    assert drawn.tolist() == budgets(sizes, len(kept)).tolist()


def test_another_generator_draws_other_images():
    some = candidates(600)
    first, second = (select_ccs(some, 0.5, np.random.default_rng(seed)) for seed in (0, 1))
    assert first.tolist() != second.tolist()


def test_a_class_of_dropped_images_keeps_its_easiest():
    scores = np.concatenate([np.linspace(0, 0.5, 95), np.linspace(0.9, 1, 5)])
    labels = np.repeat([0, 1], [95, 5])
    some = Candidates(labels, np.ones((100, 1)), scores={"el2n": scores})
    kept = select_ccs(some, 0.5, np.random.default_rng(0))
    assert kept[kept >= 95].tolist() == [95]

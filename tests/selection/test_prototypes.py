import numpy as np
import pytest

from rayred.selection import Candidates, prototypes
from rayred.selection.prototypes import (
    PROTOTYPES,
    distances,
    select_prototypes_easy,
    select_prototypes_hard,
)
from tests.selection.examples import rows


@pytest.mark.parametrize("seed", range(3))
def test_distance_is_that_to_the_closest_mean_of_a_cluster(seed):
    x = rows(40, seed)
    clusters = np.random.default_rng(seed).integers(4, size=40)
    means = [x[clusters == cluster].mean(axis=0) for cluster in set(clusters.tolist())]
    expected = [min(1 - row @ mean / np.linalg.norm(mean) for mean in means) for row in x]
    np.testing.assert_allclose(distances(x, clusters), expected, rtol=0, atol=1e-12)


def test_easy_images_are_close_to_prototypes_and_hard_ones_far(monkeypatch):
    # K tight heaps, far from each other, of six images each, and one image of each that is off.
    heap, place = np.divmod(np.arange(7 * PROTOTYPES), 7)
    x = np.zeros((7 * PROTOTYPES, PROTOTYPES + 1))
    x[np.arange(len(x)), heap] = 1
    x[:, -1] = np.where(place == 6, 0.3, 0)
    monkeypatch.setattr(prototypes, "k_means", lambda *_: heap)
    candidates = Candidates(np.zeros(len(x), dtype=np.int64), x.astype(np.float32))
    rng = np.random.default_rng(0)
    off = np.flatnonzero(place == 6).tolist()
    assert select_prototypes_hard(candidates, 1 / 7, rng).tolist() == off
    easy = select_prototypes_easy(candidates, 6 / 7, np.random.default_rng(0)).tolist()
    assert sorted([*easy, *off]) == list(range(len(x)))


def test_a_mean_of_zero_is_no_closer_to_anything():
    x = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert distances(x, np.zeros(2, dtype=np.int64)).tolist() == [1, 1]

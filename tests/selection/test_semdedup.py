import numpy as np
import pytest

from rayred.selection import semdedup
from tests.selection.examples import rows


def by_definition(x, clusters):
    found = np.full(len(x), -np.inf)
    for cluster in set(clusters.tolist()):
        members = [i for i in range(len(x)) if clusters[i] == cluster]
        centre = x[members].mean(axis=0)
        members.sort(key=lambda i: float(x[i] @ centre))
        for place, i in enumerate(members[1:], start=1):
            found[i] = max(float(x[i] @ x[j]) for j in members[:place])
    return found


@pytest.mark.parametrize("in_blocks_of", [None, 1, 7])
@pytest.mark.parametrize("seed", range(3))
def test_each_is_compared_with_those_farther_from_the_centre(seed, in_blocks_of, monkeypatch):
    x = rows(60, seed)
    if in_blocks_of:
        monkeypatch.setattr(semdedup, "BLOCK_BYTES", in_blocks_of * 8 * 20)
    clusters = np.random.default_rng(seed).permutation(np.repeat([0, 2, 5], 20))
    found = semdedup.similarities(x, clusters)
    np.testing.assert_allclose(found, by_definition(x, clusters), rtol=0, atol=1e-12)


def test_copies_go_first():
    x = rows(20)
    copies = np.concatenate([x, x[[3, 3, 11, 17]]])
    kept = semdedup._choose(copies, 20, np.random.default_rng(0))
    assert sorted(kept.tolist()) == list(range(20))


def test_a_class_of_several_clusters_keeps_its_count(monkeypatch):
    monkeypatch.setattr(semdedup, "CLUSTER_SIZE", 8)
    x = np.concatenate([rows(30), rows(30)])
    for count in (1, 3, 30, 59):
        kept = semdedup._choose(x, count, np.random.default_rng(0))
        assert len(set(kept.tolist())) == count
    # Equal rows are in the same cluster, and each of the first 30 comes before its copy.
    kept = semdedup._choose(x, 30, np.random.default_rng(0))
    assert sorted(kept.tolist()) == list(range(30))
